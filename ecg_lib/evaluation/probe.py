"""The linear probe: a logistic regression on the features of a frozen encoder.

This is the only probe in the library. It reads [CLS], the mean and the maximum of an encoder's
tokens: the maximum shows what happens once in ten seconds (a premature beat), the mean what lasts.
Features are standardised on all training ECGs, which needs no labels; a dozen labelled ECGs are too
few to estimate a feature's scale. The regularisation strength was chosen on PTB-XL's folds 7-8 for
encoders trained on folds 1-6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from ecg_lib.data.store import EcgStore
from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.encoders.token_cache import EcgTokens, encode, on_gpu
from ecg_lib.evaluation.macro_means import mean_cells
from ecg_lib.evaluation.task import Task, patients_of
from ecg_lib.intervals import Estimate, macro_auc

STRENGTH = 0.01  # scikit-learn's C
MEAN = "mean of labels"
_BATCH, _CHUNK = 128, 2048

# (training features, test features, training targets, rows with known labels) -> log-odds
Reading = Callable[[np.ndarray, np.ndarray, pd.DataFrame, np.ndarray], pd.DataFrame]
# (targets, patients, share, seed) -> rows with known labels
Draw = Callable[[pd.DataFrame, np.ndarray, float, int], np.ndarray]


# -- features --------------------------------------------------------------------------------


def pooled(tokens: np.ndarray, cls: np.ndarray) -> np.ndarray:
    """Pool an encoder's output to one vector per ECG.

    Parameters
    ----------
    tokens : (N, n, D) float32
    cls : (N, D) float32

    Returns
    -------
    (N, 3 D) float32
        [CLS], then the mean and the maximum of the tokens.
    """
    return np.concatenate([cls, tokens.mean(1), tokens.max(1)], axis=1)


def encoder_features(
    store: EcgStore, encoder: EcgEncoder, rows: Sequence[int] | np.ndarray | None = None
) -> np.ndarray:
    """Encode some or all ECGs of a store and pool the output.

    Returns
    -------
    (N, 3 D) float32
        As returned by `pooled`.
    """
    rows = np.arange(len(store)) if rows is None else rows
    with on_gpu(encoder):
        parts = [
            pooled(*(part.numpy() for part in encode(store.mv(rows[at : at + _BATCH]), encoder)))
            for at in range(0, len(rows), _BATCH)
        ]
    return np.concatenate(parts)


def cached_features(
    tokens: EcgTokens, rows: Sequence[int] | np.ndarray | None = None
) -> np.ndarray:
    """Pool the cached output for some or all ECGs of a cohort.

    Returns
    -------
    (N, 3 D) float32
        As returned by `pooled`.
    """
    rows = np.arange(len(tokens)) if rows is None else np.asarray(rows)
    parts = []
    for at in range(0, len(rows), _CHUNK):
        own = rows[at : at + _CHUNK]
        parts.append(pooled(*(a[own].astype(np.float32) for a in (tokens.tokens, tokens.cls))))
    return np.concatenate(parts)


# -- the probe -------------------------------------------------------------------------------


def linear(
    train: np.ndarray,
    test: np.ndarray,
    targets: pd.DataFrame,
    rows: np.ndarray,
    text: tuple[pd.DataFrame, pd.DataFrame] | None = None,
    strength: float = STRENGTH,
) -> pd.DataFrame:
    """Fit a logistic regression to some rows of the training ECGs and score the test ECGs.

    Parameters
    ----------
    train, test : (n, F), (m, F) float
        Features.
    targets : (n, labels) DataFrame of bool
        Labels of the training ECGs.
    rows : (k,) int
        Rows of the training ECGs whose labels are known.
    text : pair of DataFrames, optional
        Zero-shot scores of the training and the test ECGs, used as one more feature. It is scaled
        to be as large as all others together, so that with few labels it is hardly penalised.
    strength : float
        scikit-learn's C; a smaller value trusts the labels less.

    Returns
    -------
    (m, labels) DataFrame
        Log-odds. For a label that has the same value in all `rows`, the scaled text score, or zero
        without text.
    """
    mean, sd = train.mean(0), train.std(0) + 1e-6
    known, asked = (train[rows] - mean) / sd, (test - mean) / sd
    scores = {}
    for label in targets:
        truth, fit, ask = targets[label].to_numpy()[rows], known, asked
        alone = np.zeros(len(test))
        if text is not None:
            own = [part[label].to_numpy() for part in text]
            size = np.sqrt(train.shape[1]) / (own[0].std() + 1e-6)
            taught, alone = (size * (score - own[0].mean()) for score in own)
            fit, ask = np.column_stack([known, taught[rows]]), np.column_stack([asked, alone])
        if truth.all() or not truth.any():
            scores[label] = alone
            continue
        model = LogisticRegression(C=strength, max_iter=1000).fit(fit, truth)
        scores[label] = model.decision_function(ask)
    return pd.DataFrame(scores)


# -- few labels ------------------------------------------------------------------------------


def balanced_order(targets: pd.DataFrame, patients: np.ndarray, seed: int) -> np.ndarray:
    """Order patients so that every prefix holds the labels in roughly their overall proportions.

    Each patient is assigned to the rarest label among their ECGs. The patients of a label are
    shuffled and spread evenly over the order.

    Parameters
    ----------
    targets : (N, labels) DataFrame of bool
    patients : (N,) str
        The patient of each ECG.

    Returns
    -------
    (P,) str
        Every patient once.
    """
    rng, rare = np.random.default_rng(seed), targets.sum().sort_values().index
    names, codes = np.unique(patients, return_inverse=True)
    group = np.full(len(names), len(rare))
    for place in range(len(rare) - 1, -1, -1):  # the rarest label last, so that it prevails
        group[codes[targets[rare[place]].to_numpy()]] = place
    position = np.empty(len(names))
    for place in np.unique(group):
        own = rng.permutation(np.flatnonzero(group == place))
        position[own] = (np.arange(len(own)) + rng.random()) / len(own)
    return names[np.argsort(position, kind="stable")]


def drawn_rows(
    targets: pd.DataFrame, patients: np.ndarray, fraction: float, seed: int
) -> np.ndarray:
    """Draw a fraction of the patients and return their rows.

    With the same seed, a larger fraction contains every smaller one. At least two patients are
    drawn. Parameters are those of `balanced_order`; `fraction` is from 0 to 1.

    Returns
    -------
    (k,) int
        Positions in `targets`.
    """
    order = balanced_order(targets, patients, seed)
    few = order[: max(2, round(fraction * len(order)))]
    return np.flatnonzero(np.isin(patients, few))


# -- tables ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Part:
    """ECGs to train or to test on: features (N, ...), labels (N, K) and patients (N,)."""

    features: np.ndarray
    targets: pd.DataFrame
    patients: np.ndarray


def part_of(store: EcgStore, rows: np.ndarray, features: np.ndarray, task: Task) -> Part:
    """Make a `Part` of some rows of a store, with the labels that a probe is scored against.

    Parameters
    ----------
    rows : (N,) int
    features : (N, ...) float
        Features of these rows.
    task : Task
        Supplies the labels; those that the store's cohort cannot carry are left out.
    """
    targets = task.scored(store.records.iloc[rows]).reset_index(drop=True)
    return Part(features, targets.dropna(axis=1).astype(bool), patients_of(store, rows))


def label_cells(
    test: Part,
    scores: np.ndarray,
    resamples: int,
    seed: int = 0,
    min_positives: int = 10,
    minus: np.ndarray | None = None,
    means: Sequence[int] = (),
) -> list[dict]:
    """Return the mean AUC over labels, then the AUC of each label.

    Parameters
    ----------
    test : Part
        The N test ECGs with their K labels.
    scores : (runs, N, K) float
        Scores of one or more training runs.
    minus : (runs, N, K) float, optional
        Scores to compare with; the cells are then differences, paired by ECG.
    means : sequence of int
        Means over labels with at least so many positives, see `mean_cells`, instead of the one over
        labels with `min_positives`.

    Returns
    -------
    list of dict
        label, value, n, ci_low, ci_high; percent. Intervals are over test patients. n counts the
        test ECGs with the label, and for the mean the labels averaged.
    """
    truth, settings = test.targets.to_numpy(), (resamples, seed, min_positives, test.patients)
    enough = np.minimum(truth.sum(0), (~truth).sum(0)) >= max(min_positives, 1)
    cells = [{"label": MEAN, **_cell(macro_auc(truth, scores, minus, *settings), enough.sum())}]
    if means:
        cells = mean_cells(truth, scores, means, resamples, seed, test.patients, minus)
    for k, label in enumerate(test.targets):
        own = None if minus is None else minus[:, :, [k]]
        found = macro_auc(truth[:, [k]], scores[:, :, [k]], own, *settings)
        cells.append({"label": label, **_cell(found, truth[:, k].sum())})
    return cells


def _cell(found: Estimate, n: int) -> dict:
    return found.percent() | {"n": int(n)}


def probe_table(
    train: Part,
    test: Part,
    shares: Sequence[float],
    seeds: Sequence[int],
    resamples: int = 1000,
    min_positives: int = 10,
    reading: Reading = linear,
    draw: Draw = drawn_rows,
    means: Sequence[int] = (),
) -> pd.DataFrame:
    """Return `label_cells` by share of the training patients, averaged over draws.

    Parameters
    ----------
    shares : sequence of float
        Shares of the training patients, above 0 and at most 1.
    seeds : sequence of int
        One draw of patients per seed; all patients are drawn only once.
    reading : callable
        Takes training features, test features, training targets and the rows with known labels,
        and returns scores; by default the linear probe.
    draw : callable
        Draws the rows with known labels; by default patients, balanced by label.
    means : sequence of int
        As for `label_cells`.

    Returns
    -------
    DataFrame
        share, label, value, ci_low, ci_high, n, train_ecgs (mean over seeds), seeds (their number).
    """
    labels = [label for label in test.targets if label in train.targets]
    test = Part(test.features, test.targets[labels], test.patients)
    table = []
    for share in shares:
        few = seeds if share < 1 else seeds[:1]  # a draw of all patients does not vary
        chosen = [draw(train.targets, train.patients, share, seed) for seed in few]
        each = [
            reading(train.features, test.features, train.targets[labels], rows).to_numpy(float)
            for rows in chosen
        ]
        about = {
            "share": share,
            "train_ecgs": round(np.mean([len(rows) for rows in chosen])),
            "seeds": len(chosen),
        }
        cells = label_cells(test, np.stack(each), resamples, 0, min_positives, means=means)
        table += [{**about, **cell} for cell in cells]
    columns = ["share", "label", "value", "ci_low", "ci_high", "n", "train_ecgs", "seeds"]
    return pd.DataFrame(table)[columns]

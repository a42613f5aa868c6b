"""The linear probe: what a logistic regression reads from a frozen encoder.

There is one in this library. It sees [CLS], the mean and the maximum of an encoder's tokens: the
maximum tells what happens once in ten seconds (a premature beat), the mean what lasts. Features are
standardised on all training ECGs: that takes no label, and a dozen of labelled ECGs could not tell
how large a feature is. Its strength was chosen on PTB-XL's folds 7-8 for encoders trained on 1-6.
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
from ecg_lib.evaluation.task import Task, patients_of
from ecg_lib.intervals import Estimate, macro_auc

STRENGTH = 0.01  # sklearn's C
MEAN = "mean of labels"
_BATCH, _CHUNK = 128, 2048

# (training features, test features, training targets, rows with known labels) -> log-odds
Reading = Callable[[np.ndarray, np.ndarray, pd.DataFrame, np.ndarray], pd.DataFrame]


# -- features --------------------------------------------------------------------------------


def pooled(tokens: np.ndarray, cls: np.ndarray) -> np.ndarray:
    """(N, 3 D) of tokens (N, n, D) and cls (N, D): [CLS] first, then mean and maximum."""
    return np.concatenate([cls, tokens.mean(1), tokens.max(1)], axis=1)


def encoder_features(
    store: EcgStore, encoder: EcgEncoder, rows: Sequence[int] | None = None
) -> np.ndarray:
    """`pooled` of some ECGs of a store, or of all, encoded now."""
    rows = np.arange(len(store)) if rows is None else rows
    with on_gpu(encoder):
        parts = [
            pooled(*(part.numpy() for part in encode(store.mv(rows[at : at + _BATCH]), encoder)))
            for at in range(0, len(rows), _BATCH)
        ]
    return np.concatenate(parts)


def cached_features(tokens: EcgTokens, rows: Sequence[int] | None = None) -> np.ndarray:
    """`pooled` of ECGs whose tokens are kept."""
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
    """Log-odds (test ECGs, labels) of a logistic regression on some rows of the training ECGs.

    Parameters
    ----------
    train, test : features (n, F)
    targets : of the training ECGs, (n, labels)
    rows : of the training ECGs, whose labels are known
    text : zero-shot scores of the training and of the test ECGs: one more feature, as large as all
        others together, so that few labels leave it nearly free of the penalty
    strength : scikit-learn's C; a smaller one trusts the labels less

    Where `rows` hold one class alone there is nothing to learn: the text's score, or a constant.
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
    """Patients in an order whose every beginning holds the labels in about their proportions.

    Each patient belongs to the rarest label that one of their ECGs has; the patients of a label
    are shuffled and spread evenly over the order.
    """
    rng, rare = np.random.default_rng(seed), targets.sum().sort_values().index
    names, codes = np.unique(patients, return_inverse=True)
    group = np.full(len(names), len(rare))
    for place in range(len(rare) - 1, -1, -1):  # the rarest last, so that it stays
        group[codes[targets[rare[place]].to_numpy()]] = place
    position = np.empty(len(names))
    for place in np.unique(group):
        own = rng.permutation(np.flatnonzero(group == place))
        position[own] = (np.arange(len(own)) + rng.random()) / len(own)
    return names[np.argsort(position, kind="stable")]


def drawn_rows(
    targets: pd.DataFrame, patients: np.ndarray, fraction: float, seed: int
) -> np.ndarray:
    """Rows of a fraction of the patients; a larger fraction of one seed holds a smaller one."""
    order = balanced_order(targets, patients, seed)
    few = order[: max(2, round(fraction * len(order)))]
    return np.flatnonzero(np.isin(patients, few))


# -- tables ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Part:
    """ECGs to train or to test on, with features (N, ...), labels (N, K) and their patients."""

    features: np.ndarray
    targets: pd.DataFrame
    patients: np.ndarray


def part_of(store: EcgStore, rows: np.ndarray, features: np.ndarray, task: Task) -> Part:
    """Rows of a store as a part; `features` are of these rows.

    Labels that the store's cohort cannot carry are left out.
    """
    targets = task.targets(store.records.iloc[rows]).reset_index(drop=True)
    return Part(features, targets.dropna(axis=1).astype(bool), patients_of(store, rows))


def label_cells(
    test: Part,
    scores: np.ndarray,
    resamples: int,
    seed: int = 0,
    min_positives: int = 10,
    minus: np.ndarray | None = None,
) -> list[dict]:
    """AUC (percent) of scores (trainings, test ECGs, labels): the mean of labels, then each.

    Intervals are over test patients; n counts test ECGs with the label, for the mean the labels
    averaged. With `minus` the cells are differences, paired by ECG.
    """
    truth, settings = test.targets.to_numpy(), (resamples, seed, min_positives, test.patients)
    enough = np.minimum(truth.sum(0), (~truth).sum(0)) >= max(min_positives, 1)
    cells = [{"label": MEAN, **_cell(macro_auc(truth, scores, minus, *settings), enough.sum())}]
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
) -> pd.DataFrame:
    """`label_cells` by share of the training patients, averaged over seeds of the draw.

    Columns `share`, `label`, `value`, `ci_low`, `ci_high`, `n`, `train_ecgs` (mean over seeds),
    `seeds`.
    """
    labels = [label for label in test.targets if label in train.targets]
    test = Part(test.features, test.targets[labels], test.patients)
    table = []
    for share in shares:
        few = seeds if share < 1 else seeds[:1]  # all patients are the same for any seed
        chosen = [drawn_rows(train.targets, train.patients, share, seed) for seed in few]
        each = [
            reading(train.features, test.features, train.targets[labels], rows).to_numpy(float)
            for rows in chosen
        ]
        about = {
            "share": share,
            "train_ecgs": round(np.mean([len(rows) for rows in chosen])),
            "seeds": len(chosen),
        }
        cells = label_cells(test, np.stack(each), resamples, 0, min_positives)
        table += [{**about, **cell} for cell in cells]
    columns = ["share", "label", "value", "ci_low", "ci_high", "n", "train_ecgs", "seeds"]
    return pd.DataFrame(table)[columns]

"""Linear probe: what a logistic regression reads from the tokens of a frozen encoder.

Beside it, for a standard that needs no encoder, gradient boosting on hand-made features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ecg_lib.data.store import EcgStore
from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.encoders.token_cache import encode
from ecg_lib.errors import DataError
from ecg_lib.evaluation.distributions import features_of
from ecg_lib.evaluation.leakage import HELD_OUT
from ecg_lib.evaluation.statistics import auc_over_seeds
from ecg_lib.evaluation.transfer import targets_of
from ecg_lib.knowledge.findings import FINDINGS
from ecg_lib.signal.delineate import RATE, landmarks
from ecg_lib.signal.leads import LEADS

SUPERCLASSES = MappingProxyType(
    {  # PTB-XL's diagnostic_class -> its word in findings.csv
        "NORM": "normal",
        "MI": "myocardial infarction",
        "STTC": "st/t change",
        "CD": "conduction disturbance",
        "HYP": "hypertrophy",
    }
)
LABELS = ("superclasses", "findings")
MEAN = "mean of labels"
STRENGTH = 0.1  # sklearn's C, chosen beforehand and never tuned on test ECGs
_BATCH = 128
Make = Callable[[], ClassifierMixin]


@dataclass(frozen=True, eq=False)
class Part:
    """ECGs to train or to test on, with features (N, F), labels (N, K) and their patients."""

    features: np.ndarray
    targets: pd.DataFrame
    patients: np.ndarray


def superclass_codes() -> dict[str, list[str]]:
    """PTB-XL's five superclasses -> the codes of findings.csv that belong to them."""
    return {
        name: list(FINDINGS.index[FINDINGS["superclass"] == word])
        for name, word in SUPERCLASSES.items()
    }


def probe_targets(records: pd.DataFrame, labels: str = "superclasses") -> pd.DataFrame:
    """Truth (ECGs, labels) bool; as in PTB-XL's benchmark any likelihood counts."""
    if labels == "findings":
        return targets_of(records)
    return pd.DataFrame(
        {
            name: records["labels"].map(lambda stated, c=frozenset(codes): not c.isdisjoint(stated))
            for name, codes in superclass_codes().items()
        },
        dtype=bool,
    )


def encoder_features(store: EcgStore, encoder: EcgEncoder) -> np.ndarray:
    """[CLS] beside the mean of the tokens, (N, 2 D)."""
    rows = []
    for start in range(0, len(store), _BATCH):
        tokens, cls = encode(store.mv(slice(start, start + _BATCH)), encoder)
        rows.append(np.concatenate([cls.numpy(), tokens.mean(1).numpy()], axis=1))
    return np.concatenate(rows)


def hand_features(store: EcgStore) -> np.ndarray:
    """Intervals, axis, amplitudes (mV) and the spread of RR intervals; NaN where not measured.

    About 20 ms an ECG.
    """
    waves = [
        features_of(store.mv(slice(start, start + _BATCH))).to_numpy()
        for start in range(0, len(store), _BATCH)
    ]
    spread = []
    for row in range(len(store)):
        found = landmarks(store.mv(row)[0][LEADS.index("II")], 100)
        rr = np.diff(found["R"]) / RATE if found else np.empty(0)
        spread.append([rr.std(), rr.min(), rr.max()] if len(rr) else [np.nan] * 3)
    return np.concatenate([np.concatenate(waves), np.array(spread)], axis=1)


def disjoint_rows(train: EcgStore, test: EcgStore) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train and to test on, no patient in both.

    Two cohorts are used whole. Within one, the recommended folds of PTB-XL part them (9 and 10 are
    tested on), or else the store's splits train and test.

    Raises
    ------
    DataError
        Nothing is left to train or to test on, or a patient would be in both.
    """
    if train.hash != test.hash:
        rows = np.arange(len(train)), np.arange(len(test))
    else:
        folds = train.attributes.map(lambda known: known.get("strat_fold"))
        if folds.notna().any():
            held_out = folds.isin(HELD_OUT).to_numpy()
            rows = np.flatnonzero(~held_out & folds.notna().to_numpy()), np.flatnonzero(held_out)
        else:
            rows = train.rows(split="train"), test.rows(split="test")
    for name, store, chosen in zip(("train", "test"), (train, test), rows, strict=True):
        if not len(chosen):
            raise DataError(f"--{name} {store.folder}: no ECG to {name} on; give another store")
    both = set(_patients(train, rows[0])) & set(_patients(test, rows[1]))
    if both:
        raise DataError(
            f"{len(both)} patients (such as {min(both)}) are in {train.folder} and in "
            f"{test.folder}: give one store for both, to be parted by its folds"
        )
    return rows


def _patients(store: EcgStore, rows: np.ndarray) -> np.ndarray:
    """Patients of rows; two cohorts may number different patients alike."""
    few = store.records.iloc[rows]
    return (few["ecg_id"].str.partition("/")[0] + "/" + few["patient_id"]).to_numpy()


def part_of(store: EcgStore, rows: np.ndarray, features: np.ndarray, labels: str) -> Part:
    """Rows of a store as a part; `features` are of the whole store."""
    targets = probe_targets(store.records, labels).iloc[rows].reset_index(drop=True)
    return Part(features[rows], targets, _patients(store, rows))


def logistic() -> ClassifierMixin:
    """The probe: standardised features, a logistic regression."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=2000))


def boosting() -> ClassifierMixin:
    """The hand features' reader, which takes what was not measured as it is."""
    return HistGradientBoostingClassifier(
        max_iter=150, learning_rate=0.08, random_state=0, min_samples_leaf=5
    )  # 20 would not split so few ECGs


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


def probe_scores(
    train: np.ndarray, test: np.ndarray, targets: pd.DataFrame, rows: np.ndarray, make: Make
) -> pd.DataFrame:
    """Log-odds-like scores (test ECGs, labels); constant where `rows` hold one class alone.

    Parameters
    ----------
    train, test : features (n, F)
    targets : of the training ECGs, (n, labels)
    rows : of the training ECGs, whose labels are known
    """
    scores = {}
    for label in targets:
        truth = targets[label].to_numpy()[rows]
        if truth.all() or not truth.any():
            scores[label] = np.zeros(len(test))
        else:
            scores[label] = make().fit(train[rows], truth).decision_function(test)
    return pd.DataFrame(scores)


def probe_table(
    train: Part,
    test: Part,
    shares: Sequence[float],
    seeds: Sequence[int],
    resamples: int = 1000,
    min_positives: int = 10,
    make: Make = logistic,
) -> pd.DataFrame:
    """AUC (percent) by label and share of the training patients, averaged over seeds.

    Columns `share`, `label`, `value`, `ci_low`, `ci_high` (over test patients), `n` (test ECGs with
    the label), `train_ecgs` (mean over seeds), `seeds`. The mean over labels has no interval.
    """
    table = []
    for share in shares:
        few = seeds if share < 1 else seeds[:1]  # all patients are the same for any seed
        chosen = [drawn_rows(train.targets, train.patients, share, seed) for seed in few]
        each = [
            probe_scores(train.features, test.features, train.targets, rows, make)
            for rows in chosen
        ]
        about = {
            "share": share,
            "train_ecgs": round(np.mean([len(rows) for rows in chosen])),
            "seeds": len(chosen),
        }
        cells = []
        for label in test.targets:
            cell = auc_over_seeds(
                test.targets[label],
                np.stack([s[label] for s in each]),
                resamples,
                0,
                min_positives,
                test.patients,
            )
            cells.append({**about, "label": label, **cell.percent()})
        values = [c["value"] for c in cells if np.isfinite(c["value"])]
        mean = {
            **about,
            "label": MEAN,
            "value": np.mean(values) if values else np.nan,
            "n": len(values),
        }
        table += [mean, *cells]
    columns = ["share", "label", "value", "ci_low", "ci_high", "n", "train_ecgs", "seeds"]
    return pd.DataFrame(table)[columns]

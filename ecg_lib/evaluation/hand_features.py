"""A baseline that needs no encoder: gradient boosting on hand-made features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier

from ecg_lib.data.store import EcgStore
from ecg_lib.evaluation.distributions import features_of
from ecg_lib.signal.delineate import RATE, landmarks
from ecg_lib.signal.leads import LEADS

_BATCH = 128


def hand_features(store: EcgStore, rows: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
    """Measure hand-made features of some or all ECGs of a store, about 20 ms per ECG.

    Returns
    -------
    (N, F + 3) float
        The F features of `distributions.UNITS` (intervals in ms, axis in degrees, amplitudes in
        mV), then standard deviation, minimum and maximum of the RR intervals in s. NaN where a
        feature cannot be measured.
    """
    rows, parts = np.arange(len(store)) if rows is None else rows, []
    for at in range(0, len(rows), _BATCH):
        signals = store.mv(rows[at : at + _BATCH])
        spread = [_rr_spread(signal[LEADS.index("II")], store.rate) for signal in signals]
        waves = features_of(signals, store.rate).to_numpy()
        parts.append(np.concatenate([waves, np.array(spread)], axis=1))
    return np.concatenate(parts)


def _rr_spread(lead: np.ndarray, rate: float) -> list[float]:
    """Return standard deviation, minimum and maximum of the RR intervals, in s."""
    found = landmarks(lead, rate)
    rr = np.diff(found["R"]) / RATE if found else np.empty(0)
    return [rr.std(), rr.min(), rr.max()] if len(rr) else [np.nan] * 3


def boosted(
    train: np.ndarray, test: np.ndarray, targets: pd.DataFrame, rows: np.ndarray
) -> pd.DataFrame:
    """Return log-odds of gradient boosting, which handles NaN itself.

    Parameters are those of `probe.linear`.

    Returns
    -------
    (test ECGs, labels) DataFrame
        Zero for a label that has the same value in all `rows`.
    """
    scores = {}
    for label in targets:
        truth, scores[label] = targets[label].to_numpy()[rows], np.zeros(len(test))
        if truth.any() and not truth.all():
            model = HistGradientBoostingClassifier(
                max_iter=150, learning_rate=0.08, random_state=0, min_samples_leaf=5
            )  # with the default leaf size of 20, few labelled ECGs would not be split at all
            scores[label] = model.fit(train[rows], truth).decision_function(test)
    return pd.DataFrame(scores)

"""Intervals, axis and amplitudes of simulated and real ECGs, measured alike, as quantiles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from ecg_lib.data.store import EcgStore
from ecg_lib.errors import DataError
from ecg_lib.signal.delineate import RATE, intervals_of, landmarks
from ecg_lib.signal.leads import LEADS

QUANTILES = {"p10": 0.10, "p25": 0.25, "p50": 0.50, "p75": 0.75, "p90": 0.90}
CALIBRATION_FOLDS = (1, 2, 3, 4, 5, 6)  # PTB-XL folds; the simulator may be fitted to these only
SIMULATED, REAL = "simulated", "real"
CALIBRATION, HELD_OUT = "calibration", "held out"
INTERVALS = {"RR": "rr interval", "PR": "pr interval", "QRS": "qrs duration", "QT": "qt interval"}
UNITS: Mapping[str, str] = {
    **dict.fromkeys(INTERVALS, "ms"),
    "axis": "degrees",
    **{f"{wave} {lead}": "mV" for wave in "RST" for lead in LEADS},
}
# windows in ms from the R peak of lead II: the beat, the baseline before the QRS, the QRS, the T
_BEAT, _LEVEL, _QRS, _T = (-250, 450), (-80, -50), (-60, 80), (120, 420)


def record_features(signal: np.ndarray, fs: float = 100) -> dict[str, float]:
    """Measure the features of one ECG.

    Intervals are those of `signal.delineate` on lead II. Axis and amplitudes are read from the
    median beat, relative to its baseline before the QRS. R and S are the highest and the lowest
    point of the QRS. T is the largest deflection after the QRS, with its sign.

    Parameters
    ----------
    signal : (12, T) float, mV
    fs : float
        Sampling rate in Hz.

    Returns
    -------
    dict of str to float
        Features in the units of `UNITS`; those that cannot be measured are left out.
    """
    at = landmarks(signal[LEADS.index("II")], fs)
    if not at:
        return {}
    measured = intervals_of(at)
    out = {name: 1000 * measured[long] for name, long in INTERVALS.items() if long in measured}
    beat = _median_beat(signal, at["R"] / RATE, fs)
    if beat is None:
        return out
    beat = beat - np.median(beat[:, _part(_LEVEL, fs)], axis=1, keepdims=True)
    qrs, t = beat[:, _part(_QRS, fs)], beat[:, _part(_T, fs)]
    area = qrs.sum(axis=1)
    # the same vector is sqrt(3) / 2 times as large in an augmented lead as in a limb lead
    vertical, horizontal = area[LEADS.index("aVF")] * 2 / np.sqrt(3), area[LEADS.index("I")]
    out["axis"] = float(np.degrees(np.arctan2(vertical, horizontal)))
    largest = np.take_along_axis(t, np.abs(t).argmax(axis=1)[:, None], axis=1)[:, 0]
    for wave, values in {"R": qrs.max(axis=1), "S": qrs.min(axis=1), "T": largest}.items():
        out |= {f"{wave} {lead}": float(v) for lead, v in zip(LEADS, values, strict=True)}
    return out


def features_of(signals: np.ndarray, fs: float = 100) -> pd.DataFrame:
    """Measure the features of several ECGs.

    Parameters
    ----------
    signals : (N, 12, T) float, mV
    fs : float
        Sampling rate in Hz.

    Returns
    -------
    (N, F) DataFrame
        Columns as in `UNITS`; NaN where a feature cannot be measured.
    """
    rows = [record_features(signal, fs) for signal in signals]
    return pd.DataFrame(rows, columns=list(UNITS), dtype=float)


def normals(store: EcgStore, n: int, seed: int = 0, held_out: bool | None = None) -> pd.DataFrame:
    """Measure the features of at most `n` normal ECGs of a store, drawn at random.

    Parameters
    ----------
    held_out : bool, optional
        For PTB-XL: True takes folds 7-10, False the calibration folds. By default all ECGs.

    Returns
    -------
    DataFrame
        One row per ECG, as returned by `features_of`.

    Raises
    ------
    DataError
        The store has no such ECG.
    """
    rows = store.rows(normal=True)
    if held_out is not None:
        folds = store.attributes.iloc[rows].map(lambda known: known.get("strat_fold"))
        # a record without a fold may have been used in calibration: neither group takes it
        wanted = folds.notna() & (folds.isin(CALIBRATION_FOLDS) != held_out)
        rows = rows[wanted.to_numpy()]
    if not len(rows):
        raise DataError(
            f"{store.folder}: no normal ECG in these folds to measure; prepare more ECGs"
        )
    drawn = np.random.default_rng(seed).choice(rows, size=min(n, len(rows)), replace=False)
    return features_of(store.mv(np.sort(drawn)), store.rate)


def quantile_table(groups: Mapping[tuple[str, str], pd.DataFrame]) -> pd.DataFrame:
    """Return the quantiles of every feature in every group.

    Parameters
    ----------
    groups : mapping of (source, split) to (N, F) DataFrame
        Features, as returned by `features_of`.

    Returns
    -------
    DataFrame
        feature, unit, source, split, n, p10, p25, p50, p75, p90; n counts the ECGs in which the
        feature could be measured.
    """
    rows = []
    for feature, unit in UNITS.items():
        for (source, split), features in groups.items():
            values = features[feature].dropna()
            row = {"feature": feature, "unit": unit, "source": source, "split": split}
            found = {name: values.quantile(q) for name, q in QUANTILES.items()}
            rows.append(row | {"n": len(values)} | found)
    return pd.DataFrame(rows)


def compare_normals(
    simulated: np.ndarray, stores: Iterable[EcgStore], n: int = 150, seed: int = 0
) -> pd.DataFrame:
    """Compare normal ECGs of the simulator with those of PTB-XL, by calibration and held-out folds.

    Parameters
    ----------
    simulated : (N, 12, T) float, mV
        Normal ECGs; the first `n` are measured.
    stores : iterable of EcgStore
        Stores without PTB-XL's folds are skipped.
    n : int
        Largest number of ECGs per group; one ECG takes about 20 ms.

    Returns
    -------
    DataFrame
        As returned by `quantile_table`.
    """
    groups = {(SIMULATED, ""): features_of(simulated[:n])}
    for store in stores:
        if store.attributes.map(lambda known: "strat_fold" in known).any():
            groups[REAL, CALIBRATION] = normals(store, n, seed, held_out=False)
            groups[REAL, HELD_OUT] = normals(store, n, seed, held_out=True)
    return quantile_table(groups)


def _median_beat(signal: np.ndarray, times: np.ndarray, fs: float) -> np.ndarray | None:
    """Return the (12, B) median of the beats that lie wholly in the recording, or None."""
    low, high = (round(edge / 1000 * fs) for edge in _BEAT)
    peaks = np.rint(times * fs).astype(int)
    peaks = peaks[(peaks + low >= 0) & (peaks + high <= signal.shape[1])]
    if not len(peaks):
        return None
    return np.median([signal[:, peak + low : peak + high] for peak in peaks], axis=0)


def _part(window: tuple[int, int], fs: float) -> slice:
    """Convert a window in ms from R to samples of the median beat, both ends included."""
    first, last = (round((edge - _BEAT[0]) / 1000 * fs) for edge in window)
    return slice(first, last + 1)

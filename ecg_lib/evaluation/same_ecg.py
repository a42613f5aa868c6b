"""Find one ECG under two names although it was resampled, rescaled, inverted, offset or rounded.

Names, hashes and headers differ between copies of a recording, but its waves do not. An ECG is
described by the frequencies of its waves in some leads, each lead scaled to the same strength. The
correlation of two ECGs is the product of their descriptions. Among 2,303 ECGs of PTB-XL, LUDB,
CPSC 2018 and the 2021 challenge, copies correlated above 0.999 and no two others above 0.80 (2.65
million pairs). Copies that start at another moment are not found. To compare 100,000 ECGs with each
other, the descriptions are first compared in short, by a random projection that keeps correlations
to about 0.06, and then whole where the short ones are alike.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.signal.windows import tukey

from ecg_lib.data.store import EcgStore
from ecg_lib.errors import DataError
from ecg_lib.signal.leads import LEADS

SAME = 0.9  # correlation of two copies
_ALIKE = 0.8  # of the short descriptions
_COMPARED = [LEADS.index(lead) for lead in ("I", "II", "V1", "V3", "V5")]
_BAND = 0.7, 20.0  # Hz: no baseline wander, and what even a record of 50 Hz holds
_SHORT = 256
_READ, _TILE = 512, 8192


def description(signals: np.ndarray, rate: float, seconds: float) -> np.ndarray:
    """Describe ECGs so that the product of two descriptions is their correlation.

    Parameters
    ----------
    signals : (N, 12, T) array, any unit
    rate : float, Hz
    seconds : float, s
        Length that is described, at most that of the signals.

    Returns
    -------
    (N, F) float32
        F depends on `seconds` only. A flat lead counts as zero.
    """
    samples = round(seconds * rate)
    leads = np.asarray(signals[:, _COMPARED, :samples], np.float32)
    leads = leads - leads.mean(-1, keepdims=True)
    # without jumps between end and start, a wandering baseline stays below the band
    waves = np.fft.rfft(leads * tukey(samples, 0.5).astype(np.float32), axis=-1)
    bins = np.arange(round(_BAND[0] * seconds), round(_BAND[1] * seconds) + 1)
    short = max(0, bins[-1] + 1 - waves.shape[-1])  # a store at less than 40 Hz
    waves = np.pad(waves, ((0, 0), (0, 0), (0, short)))[..., bins]
    flat = np.concatenate([waves.real, waves.imag], axis=-1)
    strength = np.linalg.norm(flat, axis=-1, keepdims=True)
    flat = flat / np.where(strength > 0, strength, 1) / np.sqrt(len(_COMPARED))
    return flat.reshape(len(flat), -1).astype(np.float32)


def same_ecgs(
    one: EcgStore, one_rows: ArrayLike, other: EcgStore, other_rows: ArrayLike
) -> pd.DataFrame:
    """Find recordings that two stores, or two parts of a store, both hold.

    Parameters
    ----------
    one, other : EcgStore
        Their rates may differ.
    one_rows, other_rows : (n,), (m,) int

    Returns
    -------
    DataFrame
        One row per pair of copies: one, other (positions in the rows given) and correlation, whose
        sign is lost.
    """
    rows = np.asarray(one_rows, np.intp), np.asarray(other_rows, np.intp)
    seconds = min(one.samples / one.rate, other.samples / other.rate)
    shorts = [_short(store, own, seconds) for store, own in zip((one, other), rows, strict=True)]
    found: list[tuple[int, int, float]] = []
    for left, right in _alike(*shorts):
        for at in range(0, len(left), _READ):
            i, j = left[at : at + _READ], right[at : at + _READ]
            whole = [
                description(store.signals[own], store.rate, seconds)
                for store, own in ((one, rows[0][i]), (other, rows[1][j]))
            ]
            known = np.abs(np.einsum("nf,nf->n", *whole))
            same = known >= SAME
            found += zip(i[same].tolist(), j[same].tolist(), known[same].tolist(), strict=True)
    return pd.DataFrame(found, columns=["one", "other", "correlation"])


def without_copies(
    train: EcgStore, train_rows: np.ndarray, test: EcgStore, test_rows: np.ndarray
) -> np.ndarray:
    """Return the training rows without the patients of ECGs that are tested under another name.

    Warns of what was left out, in one line.

    Raises
    ------
    DataError
        No ECG is left to train on.
    """
    pairs = same_ecgs(train, train_rows, test, test_rows)
    if pairs.empty:
        return train_rows
    names = [
        store.records["ecg_id"].iloc[int(rows[pairs[side].iloc[0]])]
        for store, rows, side in ((train, train_rows, "one"), (test, test_rows, "other"))
    ]
    few = train.records["patient_id"].iloc[train_rows]
    keep = ~few.isin(few.iloc[pairs["one"].unique()]).to_numpy()
    told = (
        f"{pairs['other'].nunique():,} of {len(test_rows):,} ECGs of {test.folder} are also in "
        f"{train.folder} (such as {names[1]} and {names[0]})"
    )
    if not keep.any():
        raise DataError(f"{told}, and none is left to train on; give another store")
    gone = int((~keep).sum())
    warnings.warn(f"{told}; {gone:,} ECGs of these patients are not trained on", stacklevel=3)
    return train_rows[keep]


def _short(store: EcgStore, rows: np.ndarray, seconds: float) -> np.ndarray:
    """Return short descriptions, (N, 256) float32 of length 1."""
    parts = []
    projection: np.ndarray | None = None
    for at in range(0, len(rows), _READ):
        own = rows[at : at + _READ]
        whole = description(store.signals[own], store.rate, seconds)
        if projection is None:
            rng = np.random.default_rng(0)
            projection = rng.standard_normal((whole.shape[1], _SHORT), np.float32)
        parts.append(whole @ projection)
    short = np.concatenate(parts) if parts else np.zeros((0, _SHORT), np.float32)
    strength = np.linalg.norm(short, axis=-1, keepdims=True)
    return short / np.where(strength > 0, strength, 1)


def _alike(one: np.ndarray, other: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the positions of pairs whose short descriptions are alike, tile by tile."""
    for at in range(0, len(one), _READ):
        for to in range(0, len(other), _TILE):
            product = np.abs(one[at : at + _READ] @ other[to : to + _TILE].T)
            i, j = np.nonzero(product >= _ALIKE)
            yield i + at, j + to

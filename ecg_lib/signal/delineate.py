"""Measure the intervals of an ECG on lead II with NeuroKit2's wavelet method ("dwt").

There are two conventions. `clinical` measures from the onset to the end of the waves. `ecgqa` uses
the definitions behind ECG-QA's answers, found by comparing its rows with the signals: medians over
the beats, QRS from the Q peak to the S peak, QT from the Q peak, and PR up to a QRS onset that is
searched for as far as the R peak. Current versions of NeuroKit2 stop the search at the Q peak,
which makes a third of the rows about PR wrong.

NeuroKit2's parts are called one by one. Its `ecg_delineate` takes three times as long, mostly to
build tables of beats, and cannot be told how far to search for the onset.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping
from types import ModuleType

import numpy as np
from scipy.signal import find_peaks

from ecg_lib.signal.resample import to_rate

FEATURES = (
    "rr interval",
    "p duration",
    "pr interval",
    "qrs duration",
    "qt interval",
    "qt corrected",
)
FEWEST = {"clinical": 4, "ecgqa": 7}  # R peaks needed to measure anything
RATE = 500  # Hz; lead II is delineated at this rate, as in ECG-QA
_FINE = 2000  # Hz; NeuroKit2 decomposes the signal at this rate
_SCALES = 9
_BEFORE = 0.35  # fraction of the RR interval before R that belongs to the beat
_DEPTH = 0.05  # least prominence of a Q or S peak, as a fraction of the beat's height


def measure_intervals(
    lead_ii: np.ndarray, fs: float, convention: str = "clinical"
) -> dict[str, float]:
    """Measure the median intervals of one recording.

    Parameters
    ----------
    lead_ii : (T,) float, mV
    fs : float, Hz
        Sampling rate of `lead_ii`, which is resampled if this is not 500 Hz.
    convention : {"clinical", "ecgqa"}
        `clinical` measures P, PR, QRS and QT from onset to end; for `ecgqa` see the
        module docstring.

    Returns
    -------
    dict of str to float, s
        Keyed by the feature names of questions/ranges.csv; QT is corrected by Bazett's formula.
        Features that cannot be delineated are left out. The dictionary is empty if there are too
        few beats or NeuroKit2 fails.

    Raises
    ------
    ValueError
        The convention is unknown.
    """
    return intervals_of(landmarks(lead_ii, fs, convention), convention)


def intervals_of(at: Mapping[str, np.ndarray], convention: str = "clinical") -> dict[str, float]:
    """Return median intervals in s from the landmarks of one recording.

    Parameters
    ----------
    at : dict of str to (B,) float
        As returned by `landmarks`.
    convention : {"clinical", "ecgqa"}
        The convention with which the landmarks were found.

    Returns
    -------
    dict of str to float, s
        See `measure_intervals`.
    """
    if not at:
        return {}
    begin, end = ("Q", "S") if convention == "ecgqa" else ("R_on", "R_off")
    both = 1 if convention == "ecgqa" else 0  # ECG-QA counts the samples at both ends
    rr = np.diff(at["R"]) / RATE
    qt = (at["T_off"] - at[begin] + both) / RATE
    values = {
        "rr interval": rr,
        "p duration": (at["P_off"] - at["P_on"] + both) / RATE,
        "pr interval": (at["R_on"] - at["P_on"] + both) / RATE,
        "qrs duration": (at[end] - at[begin] + both) / RATE,
        "qt interval": qt,
        "qt corrected": qt[1:] / np.sqrt(rr),
    }
    return {name: float(np.nanmedian(v)) for name, v in values.items() if np.isfinite(v).any()}


def landmarks(
    lead_ii: np.ndarray, fs: float, convention: str = "clinical"
) -> dict[str, np.ndarray]:
    """Find where the waves of each beat begin, peak and end.

    Parameters
    ----------
    lead_ii : (T,) float, mV
    fs : float, Hz
    convention : {"clinical", "ecgqa"}

    Returns
    -------
    dict of str to (B,) float
        Positions in samples at 500 Hz, NaN where not found: the peaks `R`, `Q` and `S`, and `P_on`,
        `P_off`, `R_on`, `R_off` and `T_off`. Empty if there are too few beats or NeuroKit2 fails.

    Raises
    ------
    ValueError
        The convention is unknown.
    """
    if convention not in FEWEST:
        raise ValueError(f"convention {convention!r} is not one of {', '.join(FEWEST)}")
    nk, parts = _neurokit()
    lead = np.asarray(lead_ii, dtype=float)
    if lead.ndim != 1 or not np.isfinite(lead).all() or lead.size < RATE / 10:
        return {}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            if fs != RATE:
                lead = to_rate(lead, fs, RATE, "polyphase", seconds=lead.size / fs).astype(float)
            clean = np.asarray(nk.ecg_clean(lead, sampling_rate=RATE), dtype=float)
            peaks = np.asarray(nk.ecg_peaks(clean, sampling_rate=RATE)[1]["ECG_R_Peaks"], dtype=int)
            if len(peaks) < FEWEST[convention]:
                return {}
            clinical = convention == "clinical"
            at = _by_wavelets(nk, parts, clean, peaks, finer=clinical)
            if clinical:
                # In beats without a Q wave the wavelets mistake the end of P for the QRS onset. The
                # prominence method does not, but its wave ends are only the edges of its windows.
                _, waves = nk.ecg_delineate(clean, peaks, sampling_rate=RATE, method="prominence")
                onsets = np.asarray(waves["ECG_R_Onsets"], dtype=float)
                cut = len(peaks) - len(onsets)  # NeuroKit2 drops an onset at sample 0
                at["R_on"] = np.concatenate([np.full(cut, np.nan), onsets])
            return at
        except Exception:  # NeuroKit2 fails in many ways on signals without beats
            return {}


def _neurokit() -> tuple[ModuleType, ModuleType]:
    """Import NeuroKit2 and its delineation module; done late because it takes over a second."""
    # imported by name: the attribute neurokit2.ecg.ecg_delineate is a function, not the module
    nk, parts = map(importlib.import_module, ("neurokit2", "neurokit2.ecg.ecg_delineate"))
    return nk, parts


def _by_wavelets(
    nk: ModuleType, parts: ModuleType, clean: np.ndarray, peaks: np.ndarray, finer: bool
) -> dict[str, np.ndarray]:
    """Return the landmarks of `nk.ecg_delineate(clean, peaks, 500, method="dwt")`.

    Only the QRS onset differs; see the module docstring. `finer` takes the bounds of the QRS from
    the next finer wavelet scale. NeuroKit2's own scale, which is coarser at rates below 60 per
    minute, puts the end of the QRS too late.
    """
    fine = nk.signal_resample(clean, sampling_rate=RATE, desired_sampling_rate=_FINE)
    scales = parts._dwt_compute_multiscales(fine, _SCALES)
    r = peaks * (_FINE // RATE)
    t, p = parts._dwt_delineate_tp_peaks(fine, r, scales, sampling_rate=_FINE)
    # R peaks in place of Q peaks: the search for the onset goes as far as the R peak
    shifted = np.roll(scales, int(finer), axis=0)
    r_on, r_off = parts._dwt_delineate_qrs_bounds(r, shifted, p, t, r, sampling_rate=_FINE)
    p_on, p_off = parts._dwt_delineate_tp_onsets_offsets(p, r, scales, sampling_rate=_FINE)
    _, t_off = parts._dwt_delineate_tp_onsets_offsets(t, r, scales, sampling_rate=_FINE)
    found = {"P_on": p_on, "P_off": p_off, "R_on": r_on, "R_off": r_off, "T_off": t_off}
    at = {k: np.trunc(np.asarray(v, dtype=float) * RATE / _FINE) for k, v in found.items()}
    q, s = _q_and_s(clean, peaks, float(np.mean(nk.signal_rate(peaks, RATE, len(clean)))))
    return {"R": peaks.astype(float), "Q": q, "S": s, **at}


def _q_and_s(
    clean: np.ndarray, peaks: np.ndarray, per_minute: float
) -> tuple[np.ndarray, np.ndarray]:
    """Find the last dip before each R peak and the first after it, to the sample as NeuroKit2."""
    period = 60 / per_minute
    low, high = -_BEFORE * period, (1 - _BEFORE) * period  # s around R
    q, s = np.full(len(peaks), np.nan), np.full(len(peaks), np.nan)
    for i, peak in enumerate(peaks):
        start, stop = int(np.floor(peak + low * RATE)), int(peak + high * RATE)
        grid = np.linspace(low, high, stop - start)
        until = int(np.searchsorted(grid, 0, side="right"))
        since = int(np.searchsorted(grid, 0, side="left"))
        before = clean[max(start, 0) : start + until]
        after = clean[start + since : min(stop, len(clean))]
        dips = find_peaks(-before, prominence=_DEPTH * np.ptp(before))[0]
        if len(dips):
            q[i] = peak - (until - (dips[-1] + max(-start, 0)))
        dips = find_peaks(-after, prominence=_DEPTH * np.ptp(after))[0]
        if len(dips):
            s[i] = peak + dips[0]
    return q, s

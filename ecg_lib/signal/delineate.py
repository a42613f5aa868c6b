"""Intervals of an ECG, measured on lead II with NeuroKit2's wavelets (its method "dwt").

Two conventions. `clinical` is from onset to end of the waves. `ecgqa` is what the answers of ECG-QA
mean by the same names, found by holding its real rows against the signals: medians over the beats,
QRS from the Q peak to the S peak, QT from the Q peak, and PR to a QRS onset sought up to the R peak
(today's NeuroKit2 stops at the Q peak, with which a third of the rows about PR come out wrong).

NeuroKit2's parts are called one by one: `ecg_delineate` takes three times as long, most of it for
tables of beats, and does not say how far to look for the onset.
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
FEWEST = {"clinical": 4, "ecgqa": 7}  # convention: R peaks below which nothing is measured
RATE = 500  # Hz at which lead II is delineated, as for ECG-QA
_FINE = 2000  # Hz at which NeuroKit2 decomposes the signal
_SCALES = 9
_BEFORE = 0.35  # share of the RR interval before R that counts to the beat
_DEPTH = 0.05  # a Q or S peak is at least this share of the beat's height deep


def measure_intervals(
    lead_ii: np.ndarray, fs: float, convention: str = "clinical"
) -> dict[str, float]:
    """Median intervals of one recording.

    Parameters
    ----------
    lead_ii : array (T,), mV
    fs : Hz; other rates than 500 are resampled
    convention : `clinical` (P, PR, QRS and QT from onset to end) or `ecgqa` (see above)

    Returns
    -------
    dict of feature (names of questions/ranges.csv) to s; QT corrected by Bazett. What cannot be
    delineated is left out: everything ({}) where beats are too few or NeuroKit2 fails.
    """
    return intervals_of(landmarks(lead_ii, fs, convention), convention)


def intervals_of(at: Mapping[str, np.ndarray], convention: str = "clinical") -> dict[str, float]:
    """Median intervals (s) from the landmarks of one recording, see `measure_intervals`."""
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
    """Where the waves of each beat begin, peak and end.

    Returns
    -------
    dict of (B,) arrays, samples at 500 Hz, NaN where not found: peaks `R`, `Q`, `S`, and `P_on`,
    `P_off`, `R_on`, `R_off`, `T_off`; {} where beats are too few or NeuroKit2 fails.
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
                # Without a Q wave the wavelets take the end of P for the QRS onset. The prominence
                # of the R peak does not; the ends of waves it knows only as edges of its windows.
                _, waves = nk.ecg_delineate(clean, peaks, sampling_rate=RATE, method="prominence")
                onsets = np.asarray(waves["ECG_R_Onsets"], dtype=float)
                cut = len(peaks) - len(onsets)  # NeuroKit2 leaves out an onset at sample 0
                at["R_on"] = np.concatenate([np.full(cut, np.nan), onsets])
            return at
        except Exception:  # NeuroKit2 stumbles over signals without beats in many ways
            return {}


def _neurokit() -> tuple[ModuleType, ModuleType]:
    """NeuroKit2 and its module of delineators; imported late, it takes more than a second."""
    # by name: the attribute neurokit2.ecg.ecg_delineate is the function of that name
    return tuple(map(importlib.import_module, ("neurokit2", "neurokit2.ecg.ecg_delineate")))


def _by_wavelets(
    nk: ModuleType, parts: ModuleType, clean: np.ndarray, peaks: np.ndarray, finer: bool
) -> dict[str, np.ndarray]:
    """The landmarks of `nk.ecg_delineate(clean, peaks, 500, method="dwt")`; QRS onset see above.

    `finer`: bounds of the QRS on the next finer scale of the wavelets. On NeuroKit2's, which is
    coarser below 60 per minute, the end of the QRS comes late.
    """
    fine = nk.signal_resample(clean, sampling_rate=RATE, desired_sampling_rate=_FINE)
    scales = parts._dwt_compute_multiscales(fine, _SCALES)
    r = peaks * (_FINE // RATE)
    t, p = parts._dwt_delineate_tp_peaks(fine, r, scales, sampling_rate=_FINE)
    # R peaks in the place of Q peaks: how far to look for the onset
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
    """The last dip before each R peak and the first after it, to the sample as in NeuroKit2."""
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

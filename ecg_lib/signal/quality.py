"""What makes a recording unusable, and the one road from a raw recording to the standard form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecg_lib.errors import BadRecord
from ecg_lib.signal.leads import LEADS, by_name
from ecg_lib.signal.resample import STANDARD_SECONDS, first_seconds, to_rate

FLAT_MV = 0.005  # a lead that moves less than this in 10 s carries no heart beat
LIMIT_MV = 20.0  # no ECG reaches it; a wrong gain or a lost electrode does


def check(signal: np.ndarray) -> None:
    """Raise `BadRecord`, naming the lead, for NaN, flat or impossibly large leads.

    Nothing is repaired: the paper's authors set NaN and flat leads to 0 (recovered), which a
    min-max normalisation then hides from everyone downstream. Here such records are left out and
    `quarantine.csv` says so.

    Parameters
    ----------
    signal : array (12, T), mV, in the order of `LEADS`
    """
    finite = np.isfinite(signal)
    if not finite.all():
        share = 1 - finite.mean(axis=-1)
        raise BadRecord(f"{_name(share > 0)}: {100 * share.max():.3g} % of samples are NaN")
    flat = np.ptp(signal, axis=-1) < FLAT_MV
    if flat.any():
        raise BadRecord(f"{_name(flat)}: flat")
    peak = np.abs(signal).max(axis=-1)
    if peak.max() > LIMIT_MV:
        raise BadRecord(
            f"{_name(peak > LIMIT_MV)}: reaches {peak.max():.1f} mV, at most {LIMIT_MV:g} expected"
        )


def standardise(
    signal: np.ndarray,
    names: Sequence[str],
    fs: float,
    rate: int,
    seconds: float = STANDARD_SECONDS,
    method: str = "fft",
) -> np.ndarray:
    """A raw recording as a store keeps it: 12 leads by name, first seconds, checked, resampled.

    Parameters
    ----------
    signal : array (n, T), mV
    names : lead name of each channel, as in the header
    fs : Hz of the recording
    rate : Hz wanted
    seconds : how much of the recording is kept
    method : resampler, see `to_rate`

    Returns
    -------
    float32 array (12, seconds * rate), mV

    Raises
    ------
    BadRecord
        Leads missing, too short, or unusable (see `check`).
    """
    window = first_seconds(by_name(signal, names), fs, seconds)
    check(window)
    return to_rate(window, fs, rate, method, seconds)


def _name(which: np.ndarray) -> str:
    return "lead " + ", ".join(lead for lead, bad in zip(LEADS, which, strict=True) if bad)

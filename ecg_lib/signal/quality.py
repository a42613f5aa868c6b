"""Reject unusable recordings and bring raw recordings into the standard form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecg_lib.errors import BadRecord
from ecg_lib.signal.leads import LEADS, by_name
from ecg_lib.signal.resample import STANDARD_SECONDS, first_seconds, to_rate

FLAT_MV = 0.005  # a lead that varies by less than this over 10 s shows no heartbeat
LIMIT_MV = 20.0  # no ECG reaches it, but a wrong gain or a lost electrode does
LEAST_HZ = 50  # no ECG is recorded at less, but a rate of frames or in kHz reads like this


def check(signal: np.ndarray) -> None:
    """Raise `BadRecord` for leads that contain NaN, are flat or are impossibly large.

    Nothing is repaired. The paper's authors set NaN and flat leads to 0 (recovered), and min-max
    normalisation then hides the fault from everything downstream. Here such records are left out
    and listed in `quarantine.csv`.

    Parameters
    ----------
    signal : (12, T) float, mV, in the order of `LEADS`

    Raises
    ------
    BadRecord
        The message names the leads.
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
            f"{_name(peak > LIMIT_MV)}: reaches {_mv(peak.max())} mV, at most {LIMIT_MV:g} expected"
        )


def standardise(
    signal: np.ndarray,
    names: Sequence[str],
    fs: float,
    rate: int,
    seconds: float = STANDARD_SECONDS,
    method: str = "fft",
) -> np.ndarray:
    """Bring a raw recording into the form a store keeps.

    The twelve leads are picked by name, cut to the first seconds, checked and resampled.

    Parameters
    ----------
    signal : (n, T) float, mV
    names : sequence of n str
        Lead name of each channel, as in the header.
    fs : float, Hz
        Sampling rate of the recording.
    rate : int, Hz
        Sampling rate of the result.
    seconds : float, s
        Length of the result.
    method : {"fft", "polyphase"}
        Resampler, see `to_rate`.

    Returns
    -------
    (12, seconds * rate) float32, mV

    Raises
    ------
    BadRecord
        A lead is missing or unusable (see `check`), the recording is too short, or its rate is
        below 50 Hz.
    """
    if 0 < fs < LEAST_HZ:
        raise BadRecord(f"{fs:g} Hz is no sampling rate of an ECG, at least {LEAST_HZ} Hz expected")
    window = first_seconds(by_name(signal, names), fs, seconds)
    check(window)
    return to_rate(window, fs, rate, method, seconds)


def _mv(value: float) -> str:
    return f"{value:.1f}" if value < 1e6 else f"{value:.1e}"


def _name(which: np.ndarray) -> str:
    return "lead " + ", ".join(lead for lead, bad in zip(LEADS, which, strict=True) if bad)

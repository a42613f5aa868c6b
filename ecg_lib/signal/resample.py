"""From any sampling rate to the one asked for: the first seconds of a recording."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from scipy.signal import resample, resample_poly

from ecg_lib.errors import BadRecord

STANDARD_RATE = 100  # Hz of a cohort prepared without a wish; paper
STANDARD_SECONDS = 10  # paper
METHODS = ("fft", "polyphase")


def first_seconds(signal: np.ndarray, fs: float, seconds: float = STANDARD_SECONDS) -> np.ndarray:
    """The first `seconds` of (..., T) at `fs` Hz; `BadRecord` where the recording is shorter."""
    if not fs > 0:
        raise BadRecord(f"sampling rate {fs} Hz in the header")
    needed = round(seconds * fs)
    length = signal.shape[-1]
    if length < needed:
        raise BadRecord(f"{length / fs:.1f} s long, {seconds:g} s needed")
    return signal[..., :needed]


def to_rate(
    signal: np.ndarray,
    fs: float,
    rate: float,
    method: str = "fft",
    seconds: float = STANDARD_SECONDS,
) -> np.ndarray:
    """Resample the first `seconds` to `rate`.

    `fft` is the authors' way (recovered): scipy's Fourier method takes the window as periodic, so
    where start and end differ the edges ring. `polyphase` filters in time and has no such seam.
    A signal already at `rate` passes unchanged.

    Parameters
    ----------
    signal : array (..., T) without NaN (a NaN would spread over its whole lead)
    fs : sampling rate of `signal`, Hz
    rate : sampling rate wanted, Hz

    Returns
    -------
    float32 array (..., seconds * rate)

    Raises
    ------
    BadRecord
        The recording is shorter than `seconds`.
    """
    if method not in METHODS:
        raise ValueError(f"resampler {method!r} is not one of {', '.join(METHODS)}")
    window = first_seconds(np.asarray(signal), fs, seconds)
    if fs == rate:
        return window.astype(np.float32)
    samples = round(seconds * rate)
    if method == "fft":
        return resample(window, samples, axis=-1).astype(np.float32)
    ratio = Fraction(rate) / Fraction(str(fs))
    resampled = resample_poly(window, ratio.numerator, ratio.denominator, axis=-1, padtype="line")
    return resampled[..., :samples].astype(np.float32)

"""Cut a recording to its first seconds and resample it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ecg_lib.errors import BadRecord

STANDARD_RATE = 100  # Hz; default rate of a prepared cohort (paper)
STANDARD_SECONDS = 10  # s (paper)
METHODS = ("fft", "polyphase")


def first_seconds(signal: np.ndarray, fs: float, seconds: float = STANDARD_SECONDS) -> np.ndarray:
    """Return the first `seconds` of a recording.

    Parameters
    ----------
    signal : (..., T) array
    fs : float, Hz
    seconds : float, s

    Returns
    -------
    (..., seconds * fs) array

    Raises
    ------
    BadRecord
        The recording is shorter than `seconds`, or `fs` is not positive.
    """
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

    `fft` is the authors' method (recovered). SciPy's Fourier resampler treats the window as
    periodic, so the edges ring if start and end differ. `polyphase` filters in time and does not
    ring there. A signal already at `rate` is not resampled.

    Parameters
    ----------
    signal : (..., T) float
        Must not contain NaN, which would spread over its whole lead.
    fs : float, Hz
        Sampling rate of `signal`.
    rate : float, Hz
        Sampling rate of the result.
    method : {"fft", "polyphase"}
    seconds : float, s

    Returns
    -------
    (..., seconds * rate) float32

    Raises
    ------
    BadRecord
        The recording is shorter than `seconds`, or `fs` is not positive.
    ValueError
        The method is unknown.
    """
    if method not in METHODS:
        raise ValueError(f"resampler {method!r} is not one of {', '.join(METHODS)}")
    window = first_seconds(np.asarray(signal), fs, seconds)
    if fs == rate:
        return window.astype(np.float32)
    from scipy.signal import resample, resample_poly  # here: importing it takes most of a second

    samples = round(seconds * rate)
    if method == "fft":
        return resample(window, samples, axis=-1).astype(np.float32)
    ratio = Fraction(rate) / Fraction(str(fs))
    resampled = resample_poly(window, ratio.numerator, ratio.denominator, axis=-1, padtype="line")
    return resampled[..., :samples].astype(np.float32)

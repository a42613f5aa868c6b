"""Amplitude normalisation: the paper's, and two that keep what the paper's loses."""

from __future__ import annotations

import numpy as np

METHODS = ("lead_minmax", "record_minmax", "mv")
CLIP_MV = 5.0  # mV; QRS complexes beyond it are artefacts in practice


def normalise(signal: np.ndarray, method: str = "lead_minmax") -> np.ndarray:
    """Scale ECGs for the encoder.

    Parameters
    ----------
    signal : array (..., 12, T), mV
    method :
        `lead_minmax`: every lead to [-1, 1] by its own extremes (paper; the range is recovered).
        Amplitudes, and with them voltage criteria and the axis, are lost.
        `record_minmax`: all leads by the extremes of the record, so leads stay comparable.
        `mv`: mV as they are, clipped at +-5 mV.

    Returns
    -------
    float32 array (..., 12, T); a flat lead (or record) becomes 0 rather than NaN.
    """
    x = np.asarray(signal, dtype=np.float32)
    if method == "mv":
        return np.clip(x, -CLIP_MV, CLIP_MV)
    if method not in METHODS:
        raise ValueError(f"normalisation {method!r} is not one of {', '.join(METHODS)}")
    axes = (-1,) if method == "lead_minmax" else (-2, -1)
    low = x.min(axis=axes, keepdims=True)
    span = x.max(axis=axes, keepdims=True) - low
    flat = span <= 0
    return np.where(flat, 0, 2 * (x - low) / np.where(flat, 1, span) - 1).astype(np.float32)

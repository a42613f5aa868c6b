"""Normalise amplitudes: the paper's method, and two that preserve what it loses."""

from __future__ import annotations

import numpy as np

METHODS = ("lead_minmax", "record_minmax", "mv")
CLIP_MV = 5.0  # mV; in practice anything larger is an artefact


def normalise(signal: np.ndarray, method: str = "lead_minmax") -> np.ndarray:
    """Scale ECGs for the encoder.

    Parameters
    ----------
    signal : (..., 12, T) float, mV
    method : {"lead_minmax", "record_minmax", "mv"}
        `lead_minmax` scales each lead to [-1, 1] by its own extremes (paper; the range is
        recovered). It loses amplitudes, and with them voltage criteria and the axis.
        `record_minmax` scales all leads by the extremes of the record, so leads stay comparable.
        `mv` keeps mV and clips at +-5 mV.

    Returns
    -------
    (..., 12, T) float32
        A flat lead (or record) becomes 0 rather than NaN.

    Raises
    ------
    ValueError
        The method is unknown.
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
    scaled = x - low
    scaled *= 2  # in place: temporary arrays would cost more time than the arithmetic
    scaled /= np.where(flat, 1, span)
    scaled -= 1
    if flat.any():
        scaled[np.broadcast_to(flat, scaled.shape)] = 0
    return scaled

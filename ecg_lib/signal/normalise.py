"""Normalise amplitudes: the paper's method, and two that preserve what it loses."""

from __future__ import annotations

import numpy as np

METHODS = ("lead_minmax", "record_minmax", "mv")
CLIP_MV = 5.0  # mV; in practice anything larger is an artefact


def normalise(
    signal: np.ndarray, method: str = "lead_minmax", present: np.ndarray | None = None
) -> np.ndarray:
    """Scale ECGs for the encoder.

    Parameters
    ----------
    signal : (..., 12, T) float, mV
    method : {"lead_minmax", "record_minmax", "mv"}
        `lead_minmax` scales each lead to [-1, 1] by its own extremes (paper; the range is
        recovered). It loses amplitudes, and with them voltage criteria and the axis.
        `record_minmax` scales all leads by the extremes of the record, so leads stay comparable.
        `mv` keeps mV and clips at +-5 mV.
    present : (..., 12) bool, optional
        Leads that were recorded. The others become 0, and have no influence on the scale of a
        record.

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
    if method not in METHODS:
        raise ValueError(f"normalisation {method!r} is not one of {', '.join(METHODS)}")
    if present is not None:
        return _of_present(x, method, np.asarray(present)[..., None])
    if method == "mv":
        return np.clip(x, -CLIP_MV, CLIP_MV)
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


def _of_present(x: np.ndarray, method: str, present: np.ndarray) -> np.ndarray:
    """Normalise ECGs (..., 12, T) by the leads that are present, (..., 12, 1) bool."""
    if method == "record_minmax":  # a present value in the place of every absent one
        first = present.argmax(axis=-2, keepdims=True)  # (..., 1, 1)
        x = np.where(present, x, np.take_along_axis(x, first, axis=-2))
    return np.where(present, normalise(x, method), np.float32(0))

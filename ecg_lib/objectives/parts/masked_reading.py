"""How an encoder reads ECGs of which only some leads, and some segments of them, are shown."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ecg_lib.encoders.base import EcgEncoder, EncoderOutput
from ecg_lib.signal.leads import LEADS
from ecg_lib.signal.normalise import normalise


def drops_tokens(encoder: EcgEncoder) -> bool:
    """Return whether an encoder can leave out tokens: whether its forward takes `keep`."""
    return "keep" in inspect.signature(encoder.forward).parameters


def segments_of(encoder: EcgEncoder, seconds: float) -> int:
    """Return the number M of segments per lead.

    Parameters
    ----------
    encoder : EcgEncoder
        One that drops tokens tells M itself, as `config.steps`.
    seconds : float
        Length of a segment in s, for the others.
    """
    if drops_tokens(encoder):
        return encoder.config.steps
    return max(1, round(encoder.config.ecg_input.seconds / seconds))


def masked_input(signals_mv: np.ndarray, encoder: EcgEncoder, lead_mask: Tensor) -> Tensor:
    """Prepare ECGs of which only some leads are shown, as if the others had not been recorded.

    Parameters
    ----------
    signals_mv : (B, 12, T) float32, mV
    encoder : EcgEncoder
    lead_mask : (B, L) bool
        True where one of the encoder's leads is shown.

    Returns
    -------
    (B, L, T) float32, normalised
        Hidden leads are 0, and the scale of a record is that of its shown leads.
    """
    reads = encoder.config.ecg_input
    signals = signals_mv[:, [LEADS.index(lead) for lead in reads.leads]]
    return torch.from_numpy(normalise(signals, reads.normalisation, lead_mask.numpy()))


def read(
    encoder: EcgEncoder,
    ecg: Tensor,
    lead_mask: Tensor | None = None,
    keep: Tensor | None = None,
    segments: int = 1,
) -> EncoderOutput:
    """Encode ECGs of which only some leads and segments are shown.

    An encoder that takes `keep` drops the other tokens. One that does not reads zeros in their
    place, as it does for absent leads.

    Parameters
    ----------
    encoder : EcgEncoder
    ecg : (B, L, T) float32, normalised
    lead_mask : (B, L) bool, optional
        True where a lead is shown; None means that all are.
    keep : (B, k) int64, optional
        Positions of the segments that are shown, lead * M + time; -1 is no segment. None means
        every segment of the shown leads.
    segments : int
        Number M of segments per lead.
    """
    if keep is None:
        return encoder(ecg, lead_mask)
    if drops_tokens(encoder):
        return encoder(ecg, lead_mask=lead_mask, keep=keep)
    return encoder(ecg.masked_fill(~shown(keep, ecg.shape, segments), 0), lead_mask)


def shown(keep: Tensor, shape: Sequence[int], segments: int) -> Tensor:
    """Return which samples lie in shown segments, (B, L, T) bool; parameters as for `read`."""
    batch, leads, samples = shape
    none = leads * segments  # a last column, which is cut off
    marks = torch.zeros(batch, none + 1, dtype=torch.bool, device=keep.device)
    marks = marks.scatter(1, keep.where(keep >= 0, none), True)[:, :none]
    segment = torch.arange(samples, device=keep.device) * segments // samples  # (T,)
    return marks.unflatten(1, (leads, segments))[..., segment]

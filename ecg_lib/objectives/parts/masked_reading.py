"""How an objective shows an encoder only some leads, and only some segments of them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ecg_lib.encoders.base import EcgEncoder, EncoderOutput
from ecg_lib.errors import ConfigError
from ecg_lib.objectives.parts.lead_masks import kept_segments, present_leads

HOW = ("lead", "joint")


@dataclass(frozen=True)
class Masking:
    """The masks of a training step (K-MERL, section 3.3).

    Parameters
    ----------
    masked_leads : tuple of int
        Numbers of leads to mask, of which each ECG draws one; empty: all leads are present.
    segments : float
        Share of segments to mask.
    how : str
        "lead": the same number in every present lead. "joint": over all present leads together.
    seconds : float
        Length of a segment in s, for encoders that cannot drop tokens.
    """

    masked_leads: tuple[int, ...]
    segments: float
    how: str
    seconds: float

    def __post_init__(self) -> None:
        if any(number < 0 for number in self.masked_leads):
            raise ConfigError(f"masked_leads is {list(self.masked_leads)}; give 0 or more leads")
        if not 0 <= self.segments < 1:
            raise ConfigError(f"segments is {self.segments:g}; give a share from 0 to below 1")
        if self.how not in HOW:
            raise ConfigError(f"segment_masking is {self.how!r}; choose {', '.join(HOW)}")
        if self.seconds <= 0:
            raise ConfigError(f"segment_seconds is {self.seconds:g}; give more than 0 s")

    def check(self, encoder: EcgEncoder) -> None:
        """Raise `ConfigError` if an ECG could lose every lead that an encoder reads."""
        leads = len(encoder.config.ecg_input.leads)
        if max(self.masked_leads, default=0) >= leads:
            raise ConfigError(
                f"objective.masked_leads is {list(self.masked_leads)}, but the encoder reads "
                f"{leads} leads; mask fewer"
            )

    def segments_of(self, encoder: EcgEncoder) -> int:
        """Return the number M of segments per lead."""
        reads = encoder.config.ecg_input
        if drops_tokens(encoder):
            return encoder.config.tokens // len(reads.leads)
        return max(1, round(reads.seconds / self.seconds))

    def draw(
        self, batch: int, encoder: EcgEncoder, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Draw the masks of a batch.

        Returns
        -------
        lead_mask : (B, L) bool
            True where a lead is present.
        keep : (B, k) int64
            Numbers of the kept segments, lead * M + time; k is 0 if none is masked.
        """
        leads = len(encoder.config.ecg_input.leads)
        lead_mask = torch.ones(batch, leads, dtype=torch.bool)
        if self.masked_leads:
            lead_mask = present_leads(batch, leads, self.masked_leads, generator)
        keep = torch.zeros(batch, 0, dtype=torch.long)
        if self.segments:
            each = self.segments_of(encoder)
            keep = kept_segments(lead_mask, each, self.segments, self.how, generator)
        return lead_mask, keep


def drops_tokens(encoder: EcgEncoder) -> bool:
    """Return whether an encoder can leave out tokens: whether its forward takes `keep`."""
    return "keep" in inspect.signature(encoder.forward).parameters


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
        True where a lead is present; None means that all are.
    keep : (B, k) int64, optional
        Numbers of the kept segments, lead * segments + time; below 0 for padding. None, or k = 0,
        means that all are kept.
    segments : int
        Segments per lead, M.
    """
    if keep is None or not keep.shape[1]:
        return encoder(ecg, lead_mask) if lead_mask is not None else encoder(ecg)
    if drops_tokens(encoder):
        return encoder(ecg, lead_mask=lead_mask, keep=keep)
    ecg = ecg.masked_fill(~shown(keep, ecg.shape, segments), 0)
    return encoder(ecg, lead_mask)


def shown(keep: Tensor, shape: Sequence[int], segments: int) -> Tensor:
    """Return the samples that lie in kept segments, (B, L, T) bool; parameters as for `read`."""
    batch, leads, samples = shape
    marks = torch.zeros(batch, leads * segments + 1, dtype=torch.bool, device=keep.device)
    padding = leads * segments  # a last column that is thrown away
    marks = marks.scatter(1, torch.where(keep < 0, padding, keep), True)[:, :-1]
    at = torch.arange(samples, device=keep.device) * segments // samples  # (T,) segment of a sample
    return marks.unflatten(1, (leads, segments))[..., at]

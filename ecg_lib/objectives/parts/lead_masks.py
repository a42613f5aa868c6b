"""K-MERL's masks: most leads are hidden, and a part of the segments of the others (section 3).

Hidden tokens are left out; nothing is reconstructed. Functions here are pure: a generator goes in,
masks and positions come out, as `encoders.lead_vit` takes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PER_LEAD, JOINT, NONE = SEGMENTS = ("per_lead", "joint", "none")


@dataclass(frozen=True)
class LeadMasking:
    """What is hidden in training; the defaults are K-MERL's, where it states them.

    Parameters
    ----------
    masked : sequence of int
        Numbers of hidden leads, each as likely as the others. One number means that it is fixed,
        and (0,) hides no lead.
    per_ecg : bool
        True draws that number for each ECG; False for a whole batch, so that every ECG has equally
        many tokens, which is faster. Which leads are hidden always differs between ECGs.
    segments : {"per_lead", "joint", "none"}
        How segments of the other leads are hidden: equally many of each lead, the same total from
        all leads together, or not at all.
    share : float
        Share of the segments that is hidden.

    Raises
    ------
    ValueError
        A setting is impossible; the message begins with its name.
    """

    masked: Sequence[int] = (9, 10, 11)
    per_ecg: bool = False
    segments: str = PER_LEAD
    share: float = 0.25

    def __post_init__(self) -> None:
        object.__setattr__(self, "masked", tuple(self.masked))  # YAML has no tuples
        if not self.masked or min(self.masked) < 0 or len(set(self.masked)) < len(self.masked):
            told = ", ".join(map(str, self.masked)) or "empty"
            raise ValueError(f"masked is {told}; give numbers of leads from 0, each once")
        if self.segments not in SEGMENTS:
            raise ValueError(f"segments is {self.segments!r}; choose {', '.join(SEGMENTS)}")
        if not 0 <= self.share < 1:
            raise ValueError(f"share is {self.share:g}; give a share from 0 to below 1")

    def draw(
        self, batch: int, leads: int, steps: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Draw the masks of a batch.

        Parameters
        ----------
        batch, leads, steps : int
            Numbers of ECGs B, of leads L and of segments per lead M.
        generator : torch.Generator

        Returns
        -------
        present : (B, L) bool
            As `drawn_leads` returns it.
        keep : (B, k) int64
            As `drawn_segments` returns it.

        Raises
        ------
        ValueError
            No lead or no segment would be left.
        """
        present = drawn_leads(batch, leads, self.masked, generator, self.per_ecg)
        return present, drawn_segments(present, steps, self.share, generator, self.segments)


def drawn_leads(
    batch: int,
    leads: int,
    masked: Sequence[int],
    generator: torch.Generator,
    per_ecg: bool = False,
) -> Tensor:
    """Draw which leads are kept; parameters are those of `LeadMasking`.

    Returns
    -------
    (B, L) bool
        True where a lead is kept.

    Raises
    ------
    ValueError
        No lead would be left.
    """
    if max(masked) >= leads:
        raise ValueError(f"masked is {max(masked)} of {leads} leads; leave at least 1")
    which = torch.randint(len(masked), (batch if per_ecg else 1, 1), generator=generator)
    hidden = torch.tensor(masked)[which]  # (B or 1, 1)
    return _ranks(torch.rand(batch, leads, generator=generator)) >= hidden


def drawn_segments(
    present: Tensor,
    steps: int,
    share: float,
    generator: torch.Generator,
    how: str = PER_LEAD,
) -> Tensor:
    """Draw which segments of the present leads are kept.

    Of each present lead int((1 - share) M) segments are kept, K-MERL's rounding down (37 of 50).
    `joint` keeps as many per ECG, but draws them from all its present leads together.

    Parameters
    ----------
    present : (B, L) bool
    steps : int
        Number M of segments per lead.
    share : float
        Share of the segments that is hidden; `none` ignores it.
    generator : torch.Generator
    how : {"per_lead", "joint", "none"}

    Returns
    -------
    (B, k) int64
        Positions of the kept tokens in the lead-major sequence, from 0 to L M - 1, ascending. ECGs
        with fewer tokens than the fullest end with -1.

    Raises
    ------
    ValueError
        `how` is unknown, or no segment would be left.
    """
    if how not in SEGMENTS:
        raise ValueError(f"segments is {how!r}; choose {', '.join(SEGMENTS)}")
    each = steps if how == NONE else kept_of(steps, share)
    tokens = present.repeat_interleave(steps, 1)  # (B, L M)
    if how == JOINT:
        noise = torch.rand(tokens.shape, generator=generator).masked_fill(~tokens, 2)  # absent last
        kept = _ranks(noise) < each * present.sum(1, keepdim=True)
    else:
        noise = torch.rand(*present.shape, steps, generator=generator)  # (B, L, M)
        kept = (_ranks(noise) < each).flatten(1) & tokens
    return positions(kept)


def kept_of(steps: int, share: float) -> int:
    """Return how many of M segments are kept if a share is hidden, rounded down.

    Raises
    ------
    ValueError
        None would be kept.
    """
    kept = int(
        round((1 - share) * steps, 6)
    )  # 0.7 x 50 is 35, whatever binary fractions make of it
    if kept < 1:
        raise ValueError(
            f"share is {share:g}, which hides all {steps} segments of a lead; lower it"
        )
    return kept


def positions(kept: Tensor) -> Tensor:
    """Return the positions of the True values of each row (B, n), ascending, padded with -1."""
    number = kept.sum(1)
    order = (~kept).byte().argsort(dim=1, stable=True)[:, : int(number.max())]
    return order.where(torch.arange(order.shape[1]) < number[:, None], -1)


def _ranks(noise: Tensor) -> Tensor:
    """Return the rank of every value in its last dimension: a random permutation of each row."""
    return noise.argsort(dim=-1).argsort(dim=-1)

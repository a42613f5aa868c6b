"""Blurred reports: slots that hold mixtures of words, as projected ECGs will.

A projected ECG token is never one word: it leans towards several, and is noisy. A language model
that has read written reports alone takes such a slot for nothing that it knows. So a share of its
reading has the statements of a report mixed into slots in the report's place. Only text is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

SLOTS = (20, 30)  # slots of a blurred report, fewest and most; the ECG's own number is among them
_SHARPNESS = 0.3  # of the Dirichlet draw: below 1, most of a slot belongs to one or two statements
_STRAY = 0.5  # of a slot's weight at most goes to words that the report does not hold
_STRAYS = 3  # such words per report
_LEAD = 0.7  # of a slot's weight at least belongs to the statement that leads in it
_FAINT = 0.01  # less than that is left out: the noise would hide it
NOISE = 0.5  # standard deviation of what is added, in that of the embeddings' own numbers


class Mixture(NamedTuple):
    """Which words a slot is mixed from: three columns of one length."""

    place: list[int]  # of the slot in the row
    token: list[int]
    weight: list[float]


class Blur:
    """Decides which reports are blurred, and blurs them.

    Parameters
    ----------
    share : of the rows, in [0, 1]
    strays : token ids of statements that a report might hold; a few are mixed in faintly
    """

    def __init__(self, share: float, strays: Sequence[Sequence[int]], seed: int):
        self.share, self.strays = share, strays
        self.rng = np.random.default_rng(seed)

    def next(self) -> bool:
        """Whether the next row is blurred."""
        return self.rng.random() < self.share

    def mix(self, report: Sequence[Sequence[int]], start: int, into: Mixture) -> int:
        """Mix the statements of a report into slots; return how many slots.

        Every statement leads in one slot at least, or else it could not be read at all.

        Parameters
        ----------
        report : token ids of each of its statements
        start : place of the first slot in the row
        into : what stands in the row's slots is added to it
        """
        rng, n = self.rng, len(report)
        slots = max(int(rng.integers(SLOTS[0], SLOTS[1] + 1)), n)
        faint = [self.strays[i] for i in rng.integers(len(self.strays), size=_STRAYS)]
        own = rng.dirichlet(np.full(n, _SHARPNESS), size=slots)  # (slots, statements)
        others = rng.dirichlet(np.ones(_STRAYS), size=slots)  # (slots, strays)
        stray = rng.uniform(0, _STRAY, size=(slots, 1))
        leads = rng.permutation(slots)[:n]
        own[leads] = (1 - _LEAD) * own[leads] + _LEAD * np.eye(n)
        stray[leads] /= 2
        weights = np.hstack([own * (1 - stray), others * stray])
        for k, j in np.argwhere(weights > _FAINT):
            tokens = [*report, *faint][j]
            into.place.extend([start + int(k)] * len(tokens))
            into.token.extend(tokens)
            into.weight.extend([float(weights[k, j]) / len(tokens)] * len(tokens))
        return slots


def batch_of(mixtures: Sequence[Mixture]) -> dict[str, Tensor]:
    """Mixtures of a batch's rows, one per row, as flat tensors."""
    rows = [k for k, mixture in enumerate(mixtures) for _ in mixture.place]
    return {
        "soft_row": torch.tensor(rows, dtype=torch.long),
        "soft_place": torch.tensor([p for m in mixtures for p in m.place], dtype=torch.long),
        "soft_token": torch.tensor([t for m in mixtures for t in m.token], dtype=torch.long),
        "soft_weight": torch.tensor([w for m in mixtures for w in m.weight]),
    }


def mixed_embeddings(
    embeds: Tensor,
    slots: Tensor,
    table: Tensor,
    soft_row: Tensor,
    soft_place: Tensor,
    soft_token: Tensor,
    soft_weight: Tensor,
) -> Tensor:
    """Embeddings (B, L, H) with the mixtures, and noise, in the slots (B, L, bool).

    Parameters
    ----------
    table : the language model's input embeddings, (V, H)
    soft_row, soft_place, soft_token, soft_weight : of `batch_of`, each (N,)
    """
    length = embeds.shape[1]
    soft = torch.zeros_like(embeds).flatten(0, 1)  # (B * L, H)
    parts = soft_weight.to(embeds.dtype)[:, None] * table[soft_token]  # (N, H)
    soft = soft.index_add(0, soft_row * length + soft_place, parts).view_as(embeds)
    noise = NOISE * table.detach().std() * torch.randn_like(embeds)
    return torch.where(slots[..., None], soft + noise, embeds)

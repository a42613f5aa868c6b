"""Blurred reports: slots that hold mixtures of words, as projected ECGs will.

A projected ECG token is never one word: it is close to several words at once, and noisy. A language
model that has read only written reports does not recognise such a slot. In a share of the training
rows, the statements of a report are therefore mixed into slots that replace its text. No ECG is
used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

SLOTS = (20, 30)  # fewest and most slots per blurred report; the range includes an ECG's 25
_SHARPNESS = 0.3  # Dirichlet parameter: below 1, one or two statements take most of a slot
_STRAY = 0.5  # largest share of a slot's weight for statements that the report does not make
_STRAYS = 3  # such statements per report
_LEAD = 0.7  # smallest share of the report's own weight for the statement that leads in a slot
_FAINT = 0.01  # smaller weights are dropped: the noise would hide them
NOISE = 0.5  # standard deviation of the added noise, relative to that of the embedding table


class Mixture(NamedTuple):
    """The tokens mixed into the slots of a row, as three columns of equal length."""

    place: list[int]  # position of the slot in the row
    token: list[int]
    weight: list[float]


class Blur:
    """Random choice of the reports to blur, and their mixing into slots.

    Parameters
    ----------
    share : float
        Share of the rows that are blurred, in [0, 1].
    strays : sequence of token-id sequences
        Statements that a report might make. A few of them are mixed in faintly.
    seed : int
        Seed of all random draws.
    """

    def __init__(self, share: float, strays: Sequence[Sequence[int]], seed: int):
        self.share, self.strays = share, strays
        self.rng = np.random.default_rng(seed)

    def next(self) -> bool:
        """Draw whether the next row is blurred."""
        return self.rng.random() < self.share

    def mix(self, report: Sequence[Sequence[int]], start: int, into: Mixture) -> int:
        """Mix the statements of a report into slots and return the number of slots.

        Every statement dominates at least one slot. Otherwise it could not be read at all.

        Parameters
        ----------
        report : sequence of token-id sequences
            The statements of the report.
        start : int
            Position of the first slot in the row.
        into : Mixture
            The mixture to which the contents of the slots are appended.
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
    """Return the mixtures of a batch, one per row, as flat tensors."""
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
    """Return the embeddings with mixtures and noise in the slots, (B, L, H).

    Parameters
    ----------
    embeds : (B, L, H)
    slots : (B, L) bool
    table : (V, H)
        Input embeddings of the language model.
    soft_row, soft_place, soft_token, soft_weight : (N,)
        The tensors that `batch_of` returns.
    """
    length = embeds.shape[1]
    soft = torch.zeros_like(embeds).flatten(0, 1)  # (B * L, H)
    parts = soft_weight.to(embeds.dtype)[:, None] * table[soft_token]  # (N, H)
    soft = soft.index_add(0, soft_row * length + soft_place, parts).view_as(embeds)
    noise = NOISE * table.detach().std() * torch.randn_like(embeds)
    return torch.where(slots[..., None], soft + noise, embeds)

"""Contrast across processes: every ECG meets the texts of all of them.

Each process computes the loss of the whole batch from gathered embeddings. `gathered` sums their
gradients, and DistributedDataParallel then averages over processes: together that is the gradient
of one process with the whole batch. What batch normalisation measures is still each process's own,
unless it is converted to SyncBatchNorm. With one process nothing happens here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed

from ecg_lib.objectives.parts.losses import clip_loss
from ecg_lib.training.distributed import processes


class _Gather(torch.autograd.Function):
    """all_gather with gradients, which torch.distributed alone does not have."""

    @staticmethod
    def forward(ctx, rows: Tensor) -> Tensor:
        first = distributed.get_rank() * len(rows)
        ctx.mine = slice(first, first + len(rows))
        parts = [torch.empty_like(rows) for _ in range(processes())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)  # the losses of all processes depend on these rows
        return total[ctx.mine]


def gathered(rows: Tensor) -> Tensor:
    """(B, ...) of each process -> (processes * B, ...), in the order of ranks, with gradients.

    Every process must bring as many rows.
    """
    return _Gather.apply(rows) if processes() > 1 else rows


def gathered_lists(*lists: Sequence[Any]) -> list[list[Any]]:
    """Lists of plain objects of all processes, each joined in the order of ranks."""
    if processes() == 1:
        return [list(one) for one in lists]
    everyone: list[Any] = [None] * processes()
    distributed.all_gather_object(everyone, [list(one) for one in lists])
    return [[item for own in everyone for item in own[i]] for i in range(len(lists))]


def true_of(texts: Sequence[str], reports: Sequence[str]) -> Tensor:
    """(B, B) bool: report i contains text j word for word."""
    return torch.tensor([[text in report for text in texts] for report in reports])


def equal(reports: Sequence[str]) -> Tensor:
    """(B, B) bool: reports i and j are word for word the same."""
    numbers: dict[str, int] = {}
    ids = torch.tensor([numbers.setdefault(report, len(numbers)) for report in reports])
    return ids[:, None] == ids[None, :]


def contrast(
    ecg: Tensor, text: Tensor, scale: Tensor, texts: Sequence[str], reports: Sequence[str]
) -> Tensor:
    """CLIP's loss over all processes, where a text is a positive of every ECG it is true of.

    Parameters
    ----------
    ecg, text : (B, E) unit vectors of this process
    texts, reports : (B,), a text for each ECG and the ECG's whole report
    """
    positives = true_of(*gathered_lists(texts, reports)).to(ecg.device)
    return clip_loss(gathered(ecg), gathered(text), scale, positives=positives)

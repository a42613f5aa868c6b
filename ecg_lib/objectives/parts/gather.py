"""Contrastive loss across processes: every ECG is contrasted with the texts of all processes.

Each process computes the loss of the whole batch from gathered embeddings. `gathered` sums the
gradients over the processes, and DistributedDataParallel then averages them. Together this gives
the gradient that one process would compute on the whole batch. Batch norm still uses the statistics
of each process alone, unless it is converted to SyncBatchNorm. With one process, nothing is
gathered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed

from ecg_lib.objectives.parts.losses import clip_loss
from ecg_lib.training.distributed import processes


class _Gather(torch.autograd.Function):
    """An all_gather with gradients, which torch.distributed does not offer."""

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
        distributed.all_reduce(total)  # the loss of every process depends on these rows
        return total[ctx.mine]


def gathered(rows: Tensor) -> Tensor:
    """Gather rows from all processes in the order of their ranks, with gradients.

    Parameters
    ----------
    rows : (B, ...)
        Every process must have the same B.

    Returns
    -------
    (processes * B, ...)
    """
    return _Gather.apply(rows) if processes() > 1 else rows


def gathered_lists(*lists: Sequence[Any]) -> list[list[Any]]:
    """Join lists of plain objects from all processes, in the order of their ranks."""
    if processes() == 1:
        return [list(one) for one in lists]
    everyone: list[Any] = [None] * processes()
    distributed.all_gather_object(everyone, [list(one) for one in lists])
    return [[item for own in everyone for item in own[i]] for i in range(len(lists))]


def true_of(texts: Sequence[str], reports: Sequence[str]) -> Tensor:
    """Return whether report i contains text j word for word, (B, B) bool."""
    return torch.tensor([[text in report for text in texts] for report in reports])


def equal(reports: Sequence[str]) -> Tensor:
    """Return whether reports i and j are word for word the same, (B, B) bool."""
    numbers: dict[str, int] = {}
    ids = torch.tensor([numbers.setdefault(report, len(numbers)) for report in reports])
    return ids[:, None] == ids[None, :]


def contrast(
    ecg: Tensor, text: Tensor, scale: Tensor, texts: Sequence[str], reports: Sequence[str]
) -> Tensor:
    """Compute CLIP's loss over all processes; all ECGs of which a text is true are its positives.

    Parameters
    ----------
    ecg, text : (B, E)
        Unit vectors of this process.
    scale : scalar
        Inverse temperature.
    texts, reports : sequences of B str
        A text for each ECG, and the ECG's whole report. A text is true of an ECG if the ECG's
        report contains it.
    """
    positives = true_of(*gathered_lists(texts, reports)).to(ecg.device)
    return clip_loss(gathered(ecg), gathered(text), scale, positives=positives)

"""Contrast across processes: every ECG meets the texts of all of them.

Each process computes the loss of the whole batch from gathered embeddings. `gathered` sums their
gradients, and DistributedDataParallel then averages over processes: together that is the gradient
of one process with the whole batch. What batch normalisation measures is still each process's own,
unless it is converted to SyncBatchNorm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn

from ecg_lib.objectives.parts.clip import MAX_SCALE, ClipOutput, EcgClip, clip_loss
from ecg_lib.training.distributed import launched, processes


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


class GatheredClip(nn.Module):
    """An `EcgClip` in training, whose negatives come from all processes; alone it is `EcgClip`.

    The loss returned is that of the whole batch, the same in every process.
    """

    def __init__(self, clip: EcgClip):
        super().__init__()
        self.clip = clip

    def forward(
        self,
        ecg: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        text_id: Tensor | None = None,
        positives: Tensor | None = None,
        texts: Sequence[str] = (),
        reports: Sequence[str] = (),
        **_,
    ) -> ClipOutput:
        """As `EcgClip.forward`; `texts` and `reports` (words) where there are `positives`."""
        if processes() == 1:
            return self.clip(ecg, input_ids, attention_mask, text_id, positives)
        ecg_embeds = gathered(self.clip.embed_ecg(ecg))
        text_embeds = gathered(self.clip.embed_text(input_ids, attention_mask))
        same = None
        if positives is not None:
            positives = true_of(*gathered_lists(texts, reports)).to(ecg_embeds.device)
        elif text_id is not None:
            everyone = gathered(text_id)
            same = everyone[:, None] == everyone[None, :]
        scale = self.clip.log_scale.clamp(max=MAX_SCALE).exp()
        loss = clip_loss(ecg_embeds, text_embeds, scale, same, positives)
        return ClipOutput(loss=loss, ecg_embeds=ecg_embeds, text_embeds=text_embeds)


def in_training(clip: EcgClip) -> GatheredClip:
    """An `EcgClip` made ready for any number of processes; its weights are shared, not copied."""
    if launched() > 1 and torch.cuda.is_available():  # SyncBatchNorm knows GPUs only
        nn.SyncBatchNorm.convert_sync_batchnorm(clip)
    return GatheredClip(clip)

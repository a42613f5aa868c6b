"""The supervised head of an encoder: findings from its tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ecg_lib.encoders.base import EncoderOutput
from ecg_lib.encoders.pooling import mean_and_maximum


class FindingHead(nn.Module):
    """A linear classifier on the mean and the maximum of an encoder's valid tokens and on [CLS]."""

    def __init__(self, width: int, findings: int):
        super().__init__()
        self.norm = nn.LayerNorm(3 * width)
        self.linear = nn.Linear(3 * width, findings)

    def forward(self, encoded: EncoderOutput) -> Tensor:
        """Return the logits of F findings, (B, F); each finding is a binary decision."""
        assert encoded.cls is not None  # every encoder gives it
        pooled = torch.cat([mean_and_maximum(encoded), encoded.cls], dim=-1)  # (B, 3 D)
        return self.linear(self.norm(pooled))

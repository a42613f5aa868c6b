"""The supervised head of an encoder: findings from its tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ecg_lib.encoders.base import EncoderOutput


class FindingHead(nn.Module):
    """A linear classifier on the mean and the maximum of an encoder's tokens and on [CLS].

    The maximum captures what happens once in ten seconds, such as a premature beat. The mean
    captures what lasts.
    """

    def __init__(self, width: int, findings: int):
        super().__init__()
        self.norm = nn.LayerNorm(3 * width)
        self.linear = nn.Linear(3 * width, findings)

    def forward(self, encoded: EncoderOutput) -> Tensor:
        """Return the logits of F findings, (B, F); each finding is a binary decision."""
        tokens, cls = encoded.tokens, encoded.cls  # (B, n, D), (B, D)
        assert tokens is not None and cls is not None  # every encoder gives both
        pooled = torch.cat([tokens.mean(1), tokens.amax(1), cls], dim=-1)  # (B, 3 D)
        return self.linear(self.norm(pooled))

"""Findings from an encoder's tokens: the supervised reading of a pretrained encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ecg_lib.encoders.base import EncoderOutput


class FindingHead(nn.Module):
    """Linear classifier on the mean, the maximum and [CLS] of an encoder's tokens.

    The maximum sees what happens once in ten seconds (a premature beat), the mean what lasts.
    """

    def __init__(self, width: int, findings: int):
        super().__init__()
        self.norm = nn.LayerNorm(3 * width)
        self.linear = nn.Linear(3 * width, findings)

    def forward(self, encoded: EncoderOutput) -> Tensor:
        """Logits (B, F) of F findings, each on its own."""
        tokens = encoded.tokens  # (B, n, D)
        pooled = torch.cat([tokens.mean(1), tokens.amax(1), encoded.cls], dim=-1)  # (B, 3 D)
        return self.linear(self.norm(pooled))

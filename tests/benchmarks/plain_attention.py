"""The plain way to attend: the matrix of all pairs of tokens is written out, without a kernel."""

from __future__ import annotations

import copy

from torch import Tensor
from torch.nn import functional as F

from ecg_lib.encoders.stem_vit import Attention, StemVit


class PlainAttention(Attention):
    """Multi-head self-attention as its formula: softmax(Q K^T / sqrt(d)) V."""

    def forward(self, x: Tensor) -> Tensor:
        """Let the tokens (B, n, D) attend to one another."""
        batch, n, width = x.shape
        qkv = self.qkv(x).view(batch, n, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, n, d)
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1)  # (B, heads, n, n)
        weights = F.dropout(weights, self.dropout, self.training)
        return self.out((weights @ v).transpose(1, 2).reshape(batch, n, width))


def without_fused_kernel(encoder: StemVit) -> StemVit:
    """Return a copy of an encoder, with the same weights, that attends in the plain way."""
    plain = copy.deepcopy(encoder)
    for block in plain.blocks:
        block.attention.__class__ = PlainAttention
    return plain


def forward_backward(encoder: StemVit, ecg: Tensor) -> None:
    """Compute the gradients of all weights for a mean over the output."""
    encoder.zero_grad()
    output = encoder(ecg)
    (output.tokens.square().mean() + output.cls.square().mean()).backward()

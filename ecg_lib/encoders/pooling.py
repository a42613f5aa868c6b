"""Pool an encoder's tokens to one vector per ECG, whatever tokens are absent."""

from __future__ import annotations

import torch
from torch import Tensor

from ecg_lib.encoders.base import EncoderOutput


def mean_and_maximum(output: EncoderOutput) -> Tensor:
    """Return the mean and the maximum of the valid tokens of each ECG.

    The maximum shows what happens once in ten seconds, such as a premature beat. The mean shows
    what lasts.

    Parameters
    ----------
    output : EncoderOutput
        Its tokens are (B, n, D); those that `token_mask` marks as absent do not count.

    Returns
    -------
    (B, 2 D) float
        0 for an ECG without a valid token.
    """
    tokens, mask = output.tokens, output.token_mask
    assert tokens is not None  # every encoder gives them
    if mask is None:
        return torch.cat([tokens.mean(1), tokens.amax(1)], dim=-1)
    absent = ~mask[..., None]  # (B, n, 1)
    mean = tokens.masked_fill(absent, 0).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
    most = tokens.masked_fill(absent, -torch.inf).amax(1)
    return torch.cat([mean, most.masked_fill(~mask.any(1, keepdim=True), 0)], dim=-1)

"""Test that absent tokens do not count when tokens are pooled."""

import torch

from ecg_lib.encoders.base import EncoderOutput
from ecg_lib.encoders.pooling import mean_and_maximum


def test_only_valid_tokens_count():
    tokens = torch.tensor([[[1.0, -4], [3, -2], [99, float("nan")]], [[7, 7], [8, 8], [9, 9]]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    pooled = mean_and_maximum(EncoderOutput(tokens=tokens, token_mask=mask))
    assert pooled.tolist() == [[2, -3, 3, -2], [0, 0, 0, 0]]


def test_no_mask_is_the_mean_and_maximum_of_all_tokens_to_the_bit():
    tokens = torch.randn(3, 7, 5)
    pooled = mean_and_maximum(EncoderOutput(tokens=tokens))
    assert torch.equal(pooled, torch.cat([tokens.mean(1), tokens.amax(1)], dim=-1))
    whole = torch.ones(3, 7, dtype=torch.bool)
    masked = mean_and_maximum(EncoderOutput(tokens=tokens, token_mask=whole))
    assert torch.allclose(masked, pooled, atol=1e-6)

"""Test that absent tokens do not count when tokens are pooled."""

import torch

from ecg_lib.encoders.base import EncoderOutput
from ecg_lib.encoders.pooling import mean_and_maximum
from ecg_lib.objectives.parts.heads import FindingHead


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


def test_the_head_for_findings_ignores_absent_tokens():
    torch.manual_seed(0)
    head, cls, tokens = FindingHead(5, 3), torch.randn(2, 5), torch.randn(2, 7, 5)
    mask = torch.arange(7).expand(2, 7) < 4
    masked = head(EncoderOutput(tokens=tokens, cls=cls, token_mask=mask))
    fewer = head(EncoderOutput(tokens=tokens[:, :4], cls=cls))
    assert torch.allclose(masked, fewer, atol=1e-6)
    assert not torch.allclose(head(EncoderOutput(tokens=tokens, cls=cls)), fewer, atol=1e-3)

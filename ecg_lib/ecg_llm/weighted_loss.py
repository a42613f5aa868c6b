"""Answers that count differently: backdoor adjustment inside the loss (equation 6)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.processor import IGNORE


class WeightedAnswers(nn.Module):
    """An `EcgLlm` whose loss is the mean over answer tokens of weight x cross-entropy.

    With weights P(c) / P(c | question) of a question's severity stratum c, the mean over the
    training rows estimates the loss where severity does not decide who is asked what. Weights of
    1 give the model's own loss.
    """

    def __init__(self, model: EcgLlm):
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        ecg_tokens: Tensor,
        labels: Tensor,
        weights: Tensor,
    ) -> dict[str, Tensor]:
        """`weights` (B,): one a row."""
        logits = self.model(input_ids, attention_mask, ecg_tokens, labels).logits  # (answers, V)
        wanted = labels[:, 1:] != IGNORE  # position t predicts t + 1
        each = F.cross_entropy(logits, labels[:, 1:][wanted], reduction="none")  # (answers,)
        row = torch.arange(len(labels), device=labels.device)[:, None].expand_as(wanted)[wanted]
        return {"loss": (each * weights[row]).mean()}

    def activation_checkpointing_enable(self, **settings) -> None:
        """As the Trainer asks for it where memory is short."""
        self.model.activation_checkpointing_enable(**settings)

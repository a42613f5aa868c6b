"""Answers that count differently: backdoor adjustment inside the loss (equation 6)."""

from __future__ import annotations

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
        position_ids: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """`weights` (B, L): of the question to which each token belongs."""
        output = self.model(input_ids, attention_mask, ecg_tokens, labels, position_ids)
        wanted = labels[:, 1:] != IGNORE  # position t predicts t + 1
        # logits (answers, V) -> (answers,)
        each = F.cross_entropy(output.logits, labels[:, 1:][wanted], reduction="none")
        return {"loss": (each * weights[:, 1:][wanted]).mean()}

    def activation_checkpointing_enable(self, **settings) -> None:
        """As the Trainer asks for it where memory is short."""
        self.model.activation_checkpointing_enable(**settings)

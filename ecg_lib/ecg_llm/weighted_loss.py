"""Losses in which answers count as they should: by a weight, or each as much as another."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.processor import IGNORE


class WeightedAnswers(nn.Module):
    """An `EcgLlm` whose loss is the mean over answer tokens of weight x cross-entropy.

    With weights P(c) / P(c | question) of a question's severity stratum c, the mean over the
    training rows estimates the loss where severity does not decide who is asked what (equation 6).
    Weights of 1 give the model's own loss.
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
        weights: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """`weights` (B, L): of the question to which each token belongs; by default 1."""
        output = self.model(input_ids, attention_mask, ecg_tokens, labels, position_ids)
        wanted = labels[:, 1:] != IGNORE  # position t predicts t + 1
        # logits (answers, V) -> (answers,)
        each = F.cross_entropy(output.logits, labels[:, 1:][wanted], reduction="none")
        weight = torch.ones_like(each) if weights is None else weights[:, 1:][wanted]
        return {"loss": self.mean(each * weight, labels)}

    def mean(self, each: Tensor, labels: Tensor) -> Tensor:
        """Losses of all answer tokens, in reading order -> the loss of the batch."""
        return each.mean()

    def activation_checkpointing_enable(self, **settings) -> None:
        """As the Trainer asks for it where memory is short."""
        self.model.activation_checkpointing_enable(**settings)


class EqualAnswers(WeightedAnswers):
    """The same, but the mean over answers of the mean over each answer's tokens.

    In a mean over tokens a list of ten findings counts as much as thirty times "yes", and stage 2
    forgets the yes/no questions of stage 1 while it learns to spell lists.
    """

    def mean(self, each: Tensor, labels: Tensor) -> Tensor:
        """Losses of all answer tokens, in reading order -> the loss of the batch."""
        answer = answers_of(labels)
        length = torch.bincount(answer)
        return (each / length[answer]).sum() / len(length)


def answers_of(labels: Tensor) -> Tensor:
    """Labels (B, L) -> for each answer token, in reading order, the number of its answer from 0.

    Tokens of one answer follow one another; a prompt stands between two answers.
    """
    wanted = labels != IGNORE
    begins = wanted.clone()
    begins[:, 1:] &= ~wanted[:, :-1]
    return begins.flatten().cumsum(0)[wanted.flatten()] - 1


def begins_answer(labels: Tensor) -> Tensor:
    """Labels (B, L) -> for each answer token, in reading order: does an answer begin with it?"""
    answer = answers_of(labels)
    return answer.diff(prepend=answer[:1] - 1) > 0

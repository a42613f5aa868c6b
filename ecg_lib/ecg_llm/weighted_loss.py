"""Alternative losses of the ECG-LLM: weighted answers, and answers of equal weight."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.processor import IGNORE


class WeightedAnswers(nn.Module):
    """An `EcgLlm` whose loss is the mean over answer tokens of weight x cross-entropy.

    With weights P(c) / P(c | question), where c is the severity stratum of the row's ECG, the mean
    over the training rows estimates the loss if severity did not decide who is asked what
    (equation 6). Weights of 1 give the model's own loss.
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
        """Return the loss of a batch; parameters are those of `EcgLlm.forward`, and `weights`.

        Parameters
        ----------
        weights : (B, L) float32, optional
            For each token, the weight of its question; by default 1.
        """
        output = self.model(input_ids, attention_mask, ecg_tokens, labels, position_ids)
        wanted = labels[:, 1:] != IGNORE  # position t predicts t + 1
        # logits (answers, V) -> (answers,)
        each = F.cross_entropy(output.logits, labels[:, 1:][wanted], reduction="none")
        weight = torch.ones_like(each) if weights is None else weights[:, 1:][wanted]
        return {"loss": self.mean(each * weight, labels)}

    def mean(self, each: Tensor, labels: Tensor) -> Tensor:
        """Return the batch's loss from the losses of all answer tokens in reading order."""
        return each.mean()

    def activation_checkpointing_enable(self, **settings) -> None:
        """Pass the Trainer's request for gradient checkpointing on to the model."""
        self.model.activation_checkpointing_enable(**settings)


class EqualAnswers(WeightedAnswers):
    """An `EcgLlm` whose loss is the mean over answers of the mean over each answer's tokens.

    In a mean over tokens, a list of ten findings counts as much as thirty answers of "yes". Stage 2
    then forgets the yes/no questions of stage 1 while it learns to spell lists.
    """

    def mean(self, each: Tensor, labels: Tensor) -> Tensor:
        """Return the batch's loss from the losses of all answer tokens in reading order."""
        answer = answers_of(labels)
        length = torch.bincount(answer)
        return (each / length[answer]).sum() / len(length)


def answers_of(labels: Tensor) -> Tensor:
    """Return, for each answer token in reading order, the number of its answer from 0.

    The tokens of one answer follow one another, and a prompt separates two answers. `labels` is
    (B, L) with `IGNORE` outside the answers.
    """
    wanted = labels != IGNORE
    begins = wanted.clone()
    begins[:, 1:] &= ~wanted[:, :-1]
    return begins.flatten().cumsum(0)[wanted.flatten()] - 1


def begins_answer(labels: Tensor) -> Tensor:
    """Return which answer tokens are the first of their answer, in reading order.

    `labels` is (B, L) with `IGNORE` outside the answers.
    """
    answer = answers_of(labels)
    return answer.diff(prepend=answer[:1] - 1) > 0

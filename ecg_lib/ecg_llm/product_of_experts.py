"""A product of experts: the ECG-LLM is trained together with a reader of the question's words.

In training, the odds of yes are the ECG-LLM's odds times those of the question's words. The words'
share is thus given already, and the ECG-LLM gains nothing from learning it. When answering, the
ECG-LLM is used alone.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional as F

from ecg_lib.ecg_llm.finetune import WEIGHT, train_stage
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.processor import IGNORE, EcgLlmProcessor
from ecg_lib.ecg_llm.weighted_loss import begins_answer
from ecg_lib.questions.bias import word_counter
from ecg_lib.questions.vocabulary import YES, answer_text

if TYPE_CHECKING:
    from ecg_lib.config import Stage
    from ecg_lib.encoders.token_cache import EcgTokens

WORDS = "words"  # a column of question rows: log-odds of yes given the question's words
_LN2 = float(np.log(2))


def words_log_odds(rows: pd.DataFrame) -> pd.Series:
    """Return the log-odds of yes from a logistic regression on the question's words and word pairs.

    Parameters
    ----------
    rows : DataFrame
        Yes/no question rows. The regression is fitted on the same rows, which are many times more
        than its features.

    Returns
    -------
    Series of float, indexed as `rows`
    """
    yes = rows["answer"].map(answer_text).eq(YES)
    if yes.nunique() < 2:  # every answer is the same, so there is nothing to fit
        return pd.Series(0.0, index=rows.index, name=WORDS)
    words = word_counter().fit_transform(rows["question"])
    reader = LogisticRegression(max_iter=400).fit(words, yes)
    odds = reader.decision_function(words).round(4)  # further digits differ between machines
    return pd.Series(odds, index=rows.index, name=WORDS)


class ProductOfExperts(nn.Module):
    """An `EcgLlm` whose loss is that of the product of its odds of yes and the words' odds.

    At an answer's first token, log(2 P(yes | words)) is added to the logits of yes and
    log(2 P(no | words)) to those of no. Words that say nothing about the answer change nothing.

    Parameters
    ----------
    model : EcgLlm
    yes, no : list of int
        First token ids of both answers, as `EcgLlmProcessor.yes_no_ids` returns them.
    """

    def __init__(self, model: EcgLlm, yes: list[int], no: list[int]):
        super().__init__()
        self.model, self.yes, self.no = model, yes, no

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        ecg_tokens: Tensor,
        labels: Tensor,
        weights: Tensor,
        position_ids: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the loss of a batch; parameters are those of `EcgLlm.forward`, and `weights`.

        Parameters
        ----------
        weights : (B, L) float32
            For each token, the words' log-odds of yes of its question.
        """
        output = self.model(input_ids, attention_mask, ecg_tokens, labels, position_ids)
        wanted = labels[:, 1:] != IGNORE  # position t predicts t + 1
        first = begins_answer(labels)  # (answer tokens,)
        odds = torch.where(first, weights[:, 1:][wanted], 0.0)  # log-odds of 0 add 0 below
        tilt = torch.zeros_like(output.logits)  # (answer tokens, V)
        tilt[:, self.yes] = (F.logsigmoid(odds) + _LN2)[:, None]
        tilt[:, self.no] = (F.logsigmoid(-odds) + _LN2)[:, None]
        return {"loss": F.cross_entropy(output.logits + tilt, labels[:, 1:][wanted])}

    def activation_checkpointing_enable(self, **settings) -> None:
        """Pass the Trainer's request for gradient checkpointing on to the model."""
        self.model.activation_checkpointing_enable(**settings)


def train_beside_words(
    model: EcgLlm,
    processor: EcgLlmProcessor,
    rows: pd.DataFrame,
    tokens: EcgTokens,
    stage: Stage,
    folder: Path,
    seed: int,
) -> None:
    """Train on rows with a column "words", which the loss of `ProductOfExperts` reads.

    Parameters are those of `finetune.train_stage`. A batch carries one number per question in its
    column "weight"; here this number is the words' log-odds.
    """
    yes, no = processor.yes_no_ids()
    carried = rows.rename(columns={WORDS: WEIGHT})
    wrap = partial(ProductOfExperts, yes=yes, no=no)
    train_stage(model, processor, carried, tokens, stage, folder, seed, wrap=wrap)

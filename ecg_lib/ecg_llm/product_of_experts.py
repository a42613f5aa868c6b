"""A product of experts: the ECG-LLM is trained beside a reader of the question's words alone.

In training the odds of yes are those of the ECG-LLM times those that the words give, so what the
words can tell is told already and there is nothing to gain from learning it again. The ECG-LLM
answers alone.
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

WORDS = "words"  # a column of question rows: log-odds of yes by the question's words
_LN2 = float(np.log(2))


def words_log_odds(rows: pd.DataFrame) -> pd.Series:
    """Log-odds of yes by a logistic regression on words and word pairs of the question.

    Parameters
    ----------
    rows : yes/no question rows; the reader is fitted on these very rows, many times more than words
    """
    yes = rows["answer"].map(answer_text).eq(YES)
    if yes.nunique() < 2:  # nothing to learn: whatever is asked, the answer is the same
        return pd.Series(0.0, index=rows.index, name=WORDS)
    words = word_counter().fit_transform(rows["question"])
    reader = LogisticRegression(max_iter=400).fit(words, yes)
    odds = reader.decision_function(words).round(4)  # no digit that hangs on the machine
    return pd.Series(odds, index=rows.index, name=WORDS)


class ProductOfExperts(nn.Module):
    """An `EcgLlm` whose loss is that of its answers times what the words say.

    At an answer's first token log 2 P(yes by the words) is added to the logits of yes and
    log 2 P(no by the words) to those of no. Words that tell nothing change nothing.

    Parameters
    ----------
    yes, no : ids of the first tokens of both answers, as `EcgLlmProcessor.yes_no_ids` gives them
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
        """`weights` (B, L): the words' log-odds of yes, of the question each token belongs to."""
        output = self.model(input_ids, attention_mask, ecg_tokens, labels, position_ids)
        wanted = labels[:, 1:] != IGNORE  # position t predicts t + 1
        first = begins_answer(labels)  # (answer tokens,)
        odds = torch.where(first, weights[:, 1:][wanted], 0.0)  # 0: both terms below are 0
        tilt = torch.zeros_like(output.logits)  # (answer tokens, V)
        tilt[:, self.yes] = (F.logsigmoid(odds) + _LN2)[:, None]
        tilt[:, self.no] = (F.logsigmoid(-odds) + _LN2)[:, None]
        return {"loss": F.cross_entropy(output.logits + tilt, labels[:, 1:][wanted])}

    def activation_checkpointing_enable(self, **settings) -> None:
        """As the Trainer asks for it where memory is short."""
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
    """`finetune.train_stage` on rows with a column "words", which the loss reads.

    A batch carries one number per question under the name of a weight; here it is these log-odds.
    """
    yes, no = processor.yes_no_ids()
    carried = rows.rename(columns={WORDS: WEIGHT})
    wrap = partial(ProductOfExperts, yes=yes, no=no)
    train_stage(model, processor, carried, tokens, stage, folder, seed, wrap=wrap)

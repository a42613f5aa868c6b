"""Stage 1 by contrast: of a pair's two ECGs, the one whose answer is yes must score higher.

The score is the logit of yes minus that of no at the answer's first token. For a pair the loss adds
-log sigmoid(score of the yes - score of the no), the conditional logistic likelihood of matched
pairs. Whatever is the same in both cancels in it: how likely a question makes a yes, and any habit
of the model. The answers' own cross-entropy stays beside it, so that answers are still words.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import set_seed

from ecg_lib.ecg_llm.finetune import QuestionCollator, apart
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.ecg_llm.weighted_loss import begins_answer
from ecg_lib.errors import DataError
from ecg_lib.questions.vocabulary import YES, answer_text
from ecg_lib.training.fit import Schedule, fit

if TYPE_CHECKING:
    from ecg_lib.config import Stage
    from ecg_lib.encoders.token_cache import EcgTokens

PAIR = "pair"  # a column of question rows: the number of the pair that a row is of
_SIDES = "sides"


class PairedContrast(nn.Module):
    """An `EcgLlm` trained on batches in which rows 0, 2, 4, ... say yes and the rows after them no.

    Parameters
    ----------
    yes, no : ids of the first tokens of both answers, as `EcgLlmProcessor.yes_no_ids` gives them
    """

    def __init__(self, model: EcgLlm, yes: list[int], no: list[int]):
        super().__init__()
        self.model, self.yes, self.no = model, yes, no

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, ecg_tokens: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """Each row holds one question and one answer."""
        output = self.model(input_ids, attention_mask, ecg_tokens, labels)
        first = output.logits[begins_answer(labels)]  # (B, V)
        score = first[:, self.yes].logsumexp(-1) - first[:, self.no].logsumexp(-1)  # (B,)
        above = score[0::2] - score[1::2]  # (pairs,)
        return {"loss": output.loss - F.logsigmoid(above).mean()}

    def activation_checkpointing_enable(self, **settings) -> None:
        """As the Trainer asks for it where memory is short."""
        self.model.activation_checkpointing_enable(**settings)


class PairCollator(QuestionCollator):
    """Pairs of `prepare_pairs` -> a batch as of any questions, a yes and its no in turn."""

    def __call__(self, rows: list[dict]) -> dict[str, Tensor]:
        return super().__call__([side for pair in rows for side in pair[_SIDES]])


def prepare_pairs(rows: pd.DataFrame, processor: EcgLlmProcessor) -> list[dict]:
    """Question rows with a column "pair" -> one training row per pair, in the order of the pairs.

    Raises
    ------
    DataError
        A pair is not one row that says yes and one that says no.
    """
    example = cache(processor.example)
    said = rows["answer"].map(answer_text)
    found: dict[int, dict[str, dict]] = {}
    columns = rows["question"], said, rows["ecg_id"], rows[PAIR]
    for question, answer, ecgs, pair in zip(*columns, strict=True):
        sides = found.setdefault(pair, {})
        if answer in sides:
            raise DataError(f"pair {pair} has two rows that say {answer!r}; give a yes and a no")
        sides[answer] = {**example(question, answer, len(ecgs)), "ecg_id": list(ecgs)}
    for pair, sides in found.items():
        if len(sides) != 2 or YES not in sides:
            raise DataError(f"pair {pair} says {', '.join(sides)}; give a yes and a no")
    ordered = [sorted(found[p].items(), key=lambda side: side[0] != YES) for p in sorted(found)]
    return [
        # the longer side's ids, by which the sampler puts pairs of like length together
        {"input_ids": max((s["input_ids"] for s in sides), key=len), _SIDES: sides}
        for sides in ([side for _, side in pair] for pair in ordered)
    ]


def pairs_seen(rows: pd.DataFrame, stage: Stage, seed: int) -> pd.DataFrame:
    """Rows of the pairs that a stage trains on: all, or as many whole ones as `max_rows` allows."""
    if not stage.max_rows or len(rows) <= stage.max_rows:
        return rows
    pairs = pd.Series(rows[PAIR].unique())
    return rows[rows[PAIR].isin(pairs.sample(max(1, stage.max_rows // 2), random_state=seed))]


def train_pairs(
    model: EcgLlm,
    processor: EcgLlmProcessor,
    rows: pd.DataFrame,
    tokens: EcgTokens,
    stage: Stage,
    folder: Path,
    seed: int,
) -> None:
    """Train on pairs and save the model and `curve.csv` below `folder`.

    As `finetune.train_stage`, but each question has a sequence of its own, so that both sides of a
    pair stand in one batch; a batch holds `stage.batch_size` questions.

    Raises
    ------
    DataError
        The rows are no pairs.
    """
    set_seed(seed)
    prepared = prepare_pairs(pairs_seen(rows, stage, seed), processor)
    batch = max(1, min(stage.batch_size // 2, len(prepared)))
    history = fit(
        PairedContrast(model, *processor.yes_no_ids()),
        prepared,
        PairCollator(processor, tokens),
        folder,
        Schedule.of(stage, batch_size=batch, order="by length"),
        seed=seed,
        optimizer=apart(model, stage),
    )
    model.save_pretrained(folder, processor)
    history.to_csv(folder / "curve.csv", index=False)

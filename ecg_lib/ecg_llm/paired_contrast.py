"""Stage 1 with a paired contrast: of two ECGs, the one whose answer is yes must score higher.

The score is the logit of yes minus the logit of no at the answer's first token. For each pair the
loss adds -log sigmoid(score of the yes row - score of the no row), the negative conditional
logistic likelihood of matched pairs. Whatever both rows share cancels: how likely the question
makes a yes, and any habit of the model. The usual cross-entropy of the answers is kept, so that the
model still answers in words.
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

PAIR = "pair"  # a column of question rows: the number of the row's pair
_SIDES = "sides"


class PairedContrast(nn.Module):
    """An `EcgLlm` trained on batches of pairs: rows 0, 2, 4, ... say yes, rows 1, 3, 5, ... say no.

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
        self, input_ids: Tensor, attention_mask: Tensor, ecg_tokens: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """Return the loss; parameters are those of `EcgLlm.forward`, with one question per row."""
        output = self.model(input_ids, attention_mask, ecg_tokens, labels)
        first = output.logits[begins_answer(labels)]  # (B, V)
        score = first[:, self.yes].logsumexp(-1) - first[:, self.no].logsumexp(-1)  # (B,)
        above = score[0::2] - score[1::2]  # (pairs,)
        return {"loss": output.loss - F.logsigmoid(above).mean()}

    def activation_checkpointing_enable(self, **settings) -> None:
        """Pass the Trainer's request for gradient checkpointing on to the model."""
        self.model.activation_checkpointing_enable(**settings)


class PairCollator(QuestionCollator):
    """A collator that turns pairs of `prepare_pairs` into a batch of yes and no rows in turn."""

    def __call__(self, rows: list[dict]) -> dict[str, Tensor]:
        """Return the batch of both sides of each pair."""
        return super().__call__([side for pair in rows for side in pair[_SIDES]])


def prepare_pairs(rows: pd.DataFrame, processor: EcgLlmProcessor) -> list[dict]:
    """Turn question rows with a column "pair" into one training row per pair, in their order.

    Raises
    ------
    DataError
        A pair is not one row that says yes and one row that says no.
    """
    example = cache(processor.example)
    said = rows["answer"].map(answer_text)
    found: dict[int, dict[str, dict]] = {}
    columns = rows["question"], said, rows["ecg_id"], rows[PAIR]
    for question, answer, ecgs, pair in zip(*columns, strict=True):
        sides = found.setdefault(pair, {})
        if answer in sides:
            raise DataError(
                f"pair {pair} has two rows that say {answer!r}; give one yes and one no"
            )
        sides[answer] = {**example(question, answer, len(ecgs)), "ecg_id": list(ecgs)}
    for pair, sides in found.items():
        if len(sides) != 2 or YES not in sides:
            raise DataError(f"pair {pair} says {', '.join(sides)}; give one yes and one no")
    ordered = [sorted(found[p].items(), key=lambda side: side[0] != YES) for p in sorted(found)]
    return [
        # the ids of the longer side, by which the sampler groups pairs of similar length
        {"input_ids": max((s["input_ids"] for s in sides), key=len), _SIDES: sides}
        for sides in ([side for _, side in pair] for pair in ordered)
    ]


def pairs_seen(rows: pd.DataFrame, stage: Stage, seed: int) -> pd.DataFrame:
    """Return the rows that a stage trains on: all, or as many whole pairs as `max_rows` allows."""
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
    """Train on pairs; save the model and `curve.csv` in `folder`.

    Parameters are those of `finetune.train_stage`; `rows` have a column "pair". Unlike there, each
    question has its own sequence, and both sides of a pair are in the same batch. A batch holds
    `stage.batch_size` questions.

    Raises
    ------
    DataError
        A pair is not one row that says yes and one row that says no.
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

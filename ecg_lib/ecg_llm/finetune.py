"""Stage 1 and stage 2: projector and LoRA learn to answer, encoder and LLM stay frozen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from peft import LoraConfig
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import set_seed

from ecg_lib.ecg_llm.frozen_llm import load_llm
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.packing import grouped, pack, packed_batch
from ecg_lib.ecg_llm.processor import EcgLlmProcessor, labelled
from ecg_lib.ecg_llm.projector import Projector
from ecg_lib.errors import DataError
from ecg_lib.questions.vocabulary import answer_text
from ecg_lib.training.fit import Schedule, fit

if TYPE_CHECKING:
    from ecg_lib.config import Lora, Stage
    from ecg_lib.encoders.base import EcgEncoder
    from ecg_lib.encoders.token_cache import EcgTokens

WEIGHT = "weight"  # a column of question rows: how much a row counts


def new_model(
    encoder: EcgEncoder, llm: str | Path, lora: Lora, dtype: str, seed: int
) -> tuple[EcgLlm, EcgLlmProcessor]:
    """An ECG-LLM whose projector and adapters know nothing yet."""
    set_seed(seed)
    language_model, tokenizer = load_llm(llm, dtype)
    processor = EcgLlmProcessor(tokenizer, Projector.slots(encoder.config.tokens))
    model = EcgLlm.build(encoder, language_model, processor.slot_id, str(llm), adapters(lora))
    return model, processor


def adapters(lora: Lora) -> LoraConfig:
    """The adapters of a configuration, as PEFT takes them."""
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        bias="none",
        target_modules=list(lora.target_modules),
        task_type="CAUSAL_LM",
    )


class QuestionCollator:
    """Rows of `prepare_rows` -> padded ids and labels, and the ECG tokens that fill their slots."""

    def __init__(self, processor: EcgLlmProcessor, tokens: EcgTokens):
        self.processor, self.tokens = processor, tokens

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        packed = "turn" in rows[0]
        batch = packed_batch(rows, self.processor) if packed else self.processor.batch(rows)
        batch["ecg_tokens"] = self.tokens.get([e for row in rows for e in row["ecg_id"]])
        if WEIGHT in rows[0]:
            weights = [torch.tensor(row[WEIGHT], dtype=torch.float32) for row in rows]
            batch["weights"] = pad_sequence(weights, batch_first=True)  # (B, L)
        return batch


def prepare_rows(
    rows: pd.DataFrame, processor: EcgLlmProcessor, together: int = 1, seed: int = 0
) -> list[dict]:
    """Question rows -> token ids, labels and ECG ids (and a weight for each token).

    Parameters
    ----------
    together : up to so many questions about one ECG, or one pair in the same order, share a
        sequence (`packing`); `seed` draws which
    """
    prompt, said = cache(processor.prompt_ids), cache(processor.answer_ids)
    prompts, answers = [], []
    ecgs = [tuple(e) for e in rows["ecg_id"]]
    for question, answer, about in zip(rows["question"], rows["answer"], ecgs, strict=True):
        prompts.append(prompt(question, len(about)))
        answers.append(said(answer_text(answer), processor.prompt_text(question, len(about))))
    groups = grouped(ecgs, together, np.random.default_rng(seed) if together > 1 else None)
    alone = all(len(group) == 1 for group in groups)
    prepared = []
    for group in groups:
        some = [prompts[i] for i in group], [answers[i] for i in group]
        row = labelled(some[0][0], some[1][0]) if alone else pack(*some)
        if WEIGHT in rows:  # of the prefix: any, it has no label
            of_turn = [0.0, *rows[WEIGHT].iloc[group]]
            row[WEIGHT] = [of_turn[t] for t in row.get("turn", [1] * len(row["labels"]))]
        prepared.append({**row, "ecg_id": list(ecgs[group[0]])})
    return prepared


def sequences_per_step(prepared: Sequence[dict], questions: int, stage: Stage) -> int:
    """How many sequences hold about `stage.batch_size` questions, of `questions` in all."""
    return max(1, round(min(stage.batch_size, questions) * len(prepared) / questions))


def rows_seen(rows: pd.DataFrame, stage: Stage, seed: int) -> pd.DataFrame:
    """The rows that a stage trains on: all, or `max_rows` of them.

    All questions about an ECG, or a pair, are taken or none is, so that they can share a sequence.
    """
    if not stage.max_rows or len(rows) <= stage.max_rows:
        return rows
    asked = rows["ecg_id"].map(tuple)
    order = pd.Series(asked.unique()).sample(frac=1, random_state=seed)
    place = asked.map(pd.Series(range(len(order)), index=order))
    return rows.iloc[np.argsort(place, kind="stable")[: stage.max_rows]]


def apart(model: EcgLlm, stage: Stage) -> torch.optim.AdamW | None:
    """AdamW with a rate for the projector and one for all else; None where both have the same.

    A schedule multiplies both. The curve shows the rate of the first group, that of the adapters.
    """
    if stage.projector_rate is None:
        return None
    free = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    of_projector = [p for name, p in free if name.startswith("projector.")]
    others = [p for name, p in free if not name.startswith("projector.")]
    return torch.optim.AdamW(
        [
            {"params": others, "lr": stage.learning_rate},
            {"params": of_projector, "lr": stage.projector_rate},
        ],
        weight_decay=stage.weight_decay,
    )


def train_stage(
    model: EcgLlm,
    processor: EcgLlmProcessor,
    rows: pd.DataFrame,
    tokens: EcgTokens,
    stage: Stage,
    folder: Path,
    seed: int,
    valid: pd.DataFrame | None = None,
    wrap: Callable[[EcgLlm], nn.Module] | None = None,
) -> None:
    """Train on question rows and save the model and `curve.csv` below `folder`.

    Parameters
    ----------
    wrap : gives a module whose loss is trained in place of the model's own, such as
        `WeightedAnswers` for rows with a column "weight"

    Raises
    ------
    DataError
        Rows have weights that no loss reads.
    """
    if WEIGHT in rows and wrap is None:
        raise DataError(f"rows have a column {WEIGHT!r} and no loss reads it: give a `wrap`")
    set_seed(seed)
    rows = rows_seen(rows, stage, seed)
    together = min(stage.questions_per_ecg, stage.batch_size)
    prepared = prepare_rows(rows, processor, together, seed)
    batch = sequences_per_step(prepared, len(rows), stage)
    history = fit(
        wrap(model) if wrap else model,
        prepared,
        QuestionCollator(processor, tokens),
        folder,
        Schedule.of(stage, batch_size=batch, order="by length"),
        valid=prepare_rows(valid, processor, together) if valid is not None and len(valid) else (),
        seed=seed,
        optimizer=apart(model, stage),
    )
    # The saved model names its LLM relative to its final place, one level up from `folder`.
    model.save_pretrained(folder, processor)
    history.to_csv(folder / "curve.csv", index=False)

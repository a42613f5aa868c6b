"""Fine-tuning in stages 1 and 2: projector and LoRA are trained, encoder and LLM stay frozen."""

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

from ecg_lib.ecg_llm.causal_lm import shares_prefix
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
    from ecg_lib.encoders.token_cache import EcgTokens, TokenSource

WEIGHT = "weight"  # a column of question rows: the weight of a row in the loss


def new_model(
    encoder: EcgEncoder, llm: str | Path, lora: Lora, dtype: str, seed: int
) -> tuple[EcgLlm, EcgLlmProcessor]:
    """Build an ECG-LLM with an untrained projector and untrained adapters.

    Parameters
    ----------
    encoder : EcgEncoder
    llm : str or Path
        The language model, by hub id or folder.
    lora : Lora
    dtype : str
        Of the language model, e.g. "bfloat16".
    seed : int

    Raises
    ------
    DataError
        The language model cannot be loaded.
    ConfigError
        It lacks a layer that `lora.target_modules` names.
    """
    set_seed(seed)
    language_model, tokenizer = load_llm(llm, dtype)
    processor = EcgLlmProcessor(tokenizer, Projector.slots(encoder.config.tokens))
    model = EcgLlm.build(encoder, language_model, processor.slot_id, str(llm), adapters(lora))
    return model, processor


def adapters(lora: Lora) -> LoraConfig:
    """Return PEFT's configuration of the LoRA adapters."""
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        bias="none",
        target_modules=list(lora.target_modules),
        task_type="CAUSAL_LM",
    )


class QuestionCollator:
    """A collator that pads rows of `prepare_rows` and adds the ECG tokens for their slots."""

    def __init__(self, processor: EcgLlmProcessor, tokens: TokenSource):
        self.processor, self.tokens = processor, tokens

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        """Return the arguments of `EcgLlm.forward`, and `weights` if the rows have any."""
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
    """Turn question rows into training rows: token ids, labels and ECG ids.

    If `rows` have a column "weight", each token gets the weight of its question.

    Parameters
    ----------
    rows : DataFrame
        Question rows.
    processor : EcgLlmProcessor
    together : int
        Most questions that share a sequence (`packing`). They are about the same ECG, or the same
        pair in the same order.
    seed : int
        Random seed that decides which questions share a sequence.
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
        if WEIGHT in rows:  # the prefix, turn 0, has no label, so its weight has no effect
            of_turn = [0.0, *rows[WEIGHT].iloc[group]]
            row[WEIGHT] = [of_turn[t] for t in row.get("turn", [1] * len(row["labels"]))]
        prepared.append({**row, "ecg_id": list(ecgs[group[0]])})
    return prepared


def sequences_per_step(prepared: Sequence[dict], questions: int, stage: Stage) -> int:
    """Return how many sequences hold about `stage.batch_size` of all `questions` questions."""
    return max(1, round(min(stage.batch_size, questions) * len(prepared) / questions))


def rows_seen(rows: pd.DataFrame, stage: Stage, seed: int) -> pd.DataFrame:
    """Return the rows that a stage trains on: all of them, or a sample of `stage.max_rows`.

    Of an ECG or a pair, all questions are taken or none, so that they can share a sequence. Only
    the last ECG or pair may be cut off by `max_rows`.
    """
    if not stage.max_rows or len(rows) <= stage.max_rows:
        return rows
    asked = rows["ecg_id"].map(tuple)
    order = pd.Series(asked.unique()).sample(frac=1, random_state=seed)
    place = asked.map(pd.Series(range(len(order)), index=order))
    return rows.iloc[np.argsort(place, kind="stable")[: stage.max_rows]]


def apart(model: EcgLlm, stage: Stage) -> torch.optim.AdamW | None:
    """Return AdamW with a learning rate of its own for the projector, or None if it has none.

    A schedule multiplies both rates. The learning curve shows that of the first group, the
    adapters.
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
    """Train on question rows; save the model and `curve.csv` in `folder`.

    Parameters
    ----------
    model : EcgLlm
        Trained in place.
    processor : EcgLlmProcessor
    rows : DataFrame
        Question rows.
    tokens : EcgTokens
        Encoder output of all ECGs in `rows` and `valid`.
    stage : Stage
        Epochs, learning rates and batches.
    folder : Path
    seed : int
    valid : DataFrame, optional
        Question rows whose loss is recorded in the curve.
    wrap : callable, optional
        Returns a module around the model whose loss is used instead of the model's own, such as
        `WeightedAnswers` for rows with a column "weight".

    Raises
    ------
    DataError
        `rows` have weights but `wrap` is None, so no loss would read them.
    """
    if WEIGHT in rows and wrap is None:
        raise DataError(
            f"rows have a column {WEIGHT!r}, but no loss uses it; give a `wrap` or drop the column"
        )
    set_seed(seed)
    rows = rows_seen(rows, stage, seed)
    packs = shares_prefix(model.base_lm)
    together = min(stage.questions_per_ecg, stage.batch_size) if packs else 1
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
    # The path of the LLM is stored relative to `folder`; it stays valid when the cache renames it.
    model.save_pretrained(folder, processor)
    history.to_csv(folder / "curve.csv", index=False)

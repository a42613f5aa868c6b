"""The plain way to train: encode every ECG of every row again, pad to 512, one question per row."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from ecg_lib.data.store import EcgStore
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.processor import IGNORE, EcgLlmProcessor
from ecg_lib.questions.vocabulary import answer_text

LENGTH = 512


def plain_batch(
    rows: pd.DataFrame, processor: EcgLlmProcessor, store: EcgStore, model: EcgLlm
) -> dict[str, Tensor]:
    """Tokenise rows, pad them to 512 tokens and encode their ECGs."""
    ids = torch.full((len(rows), LENGTH), processor.pad_id)
    labels = torch.full((len(rows), LENGTH), IGNORE)
    mask = torch.zeros(len(rows), LENGTH, dtype=torch.long)
    for k, row in enumerate(rows.itertuples()):
        example = processor.example(row.question, answer_text(row.answer), len(row.ecg_id))
        n = len(example["input_ids"])
        ids[k, :n] = torch.tensor(example["input_ids"])
        labels[k, :n] = torch.tensor(example["labels"])
        mask[k, :n] = 1
    signals = store.mv([ecg for about in rows["ecg_id"] for ecg in about])  # (E, 12, T) mV
    ecg = torch.from_numpy(model.encoder.config.ecg_input.prepare(signals))
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "labels": labels,
        "ecg_tokens": model.encode(ecg),  # (E, n, D)
    }


def plain_loss(
    rows: pd.DataFrame, processor: EcgLlmProcessor, store: EcgStore, model: EcgLlm
) -> Tensor:
    """Return the loss of rows, from the logits of all 512 positions."""
    return model.forward_plain(**plain_batch(rows, processor, store, model))


def plain_epoch(
    rows: pd.DataFrame,
    processor: EcgLlmProcessor,
    store: EcgStore,
    model: EcgLlm,
    batch_size: int,
    learning_rate: float,
) -> None:
    """Train on all rows once, in random order."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate)
    rows = rows.sample(frac=1, random_state=0)
    model.train()
    for start in range(0, len(rows), batch_size):
        plain_loss(rows[start : start + batch_size], processor, store, model).backward()
        optimizer.step()
        optimizer.zero_grad()

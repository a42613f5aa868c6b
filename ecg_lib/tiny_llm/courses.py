"""Training of the tiny LLM in courses; each has its own learning rate, which decays to zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from transformers import LlamaForCausalLM

from ecg_lib.tiny_llm.packed_rows import PackedLoss, collate
from ecg_lib.tiny_llm.training_rows import CachedTokenizer
from ecg_lib.training.fit import Schedule, fit
from ecg_lib.training.muon import MuonAdamW

if TYPE_CHECKING:
    from ecg_lib.config import Llm

CURVE = "curve.csv"


@dataclass
class Courses:
    """A tiny LLM in training, and the learning curves of its courses so far."""

    model: LlamaForCausalLM
    processor: CachedTokenizer
    settings: Llm
    seed: int
    folder: Path
    curves: list[pd.DataFrame] = field(default_factory=list)

    def train(self, name: str, rows: Sequence[dict], rate: float) -> float:
        """Train on the rows in the given order and return the last loss."""
        optimizer = MuonAdamW(
            self.model, (self.model.get_input_embeddings(),), rate, weight_decay=0.01
        )
        checkpoints = self.folder / name
        curve = fit(
            PackedLoss(self.model, self.processor.slot_id),
            rows,
            partial(collate, processor=self.processor),
            checkpoints,
            Schedule(
                epochs=1,
                batch_size=self.settings.batch_size,
                learning_rate=rate,
                warmup=0.05,
                bf16=self.settings.bf16,
                clip_norm=1.0,
                order="as given",
            ),
            seed=self.seed,
            optimizer=optimizer,
        )
        checkpoints.rmdir()  # `fit` leaves it empty at the end
        self.curves.append(curve.assign(course=name))
        return float(curve["loss"].iloc[-1])

    def save(self) -> Path:
        """Write model, tokenizer and the learning curves (`step`, `loss`, ..., `course`)."""
        self.model.save_pretrained(str(self.folder))
        self.processor.tokenizer.save_pretrained(str(self.folder))
        pd.concat(self.curves).to_csv(self.folder / CURVE, index=False)
        return self.folder

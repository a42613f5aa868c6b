"""Variants of the ECG-LLM: a deeper projector, a trained LLM, a trained encoder.

The arms do not use this file, so that changing it does not change the code hash in their keys.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from torch import Tensor, nn
from transformers import set_seed

from ecg_lib.ecg_llm import finetune
from ecg_lib.ecg_llm.frozen_llm import load_llm
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.ecg_llm.projector import Projector
from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.encoders.token_cache import EcgTokens, encoder_input
from ecg_lib.training.fit import Schedule, fit

if TYPE_CHECKING:
    from ecg_lib.config import Lora, Stage
    from ecg_lib.config_studies import Surgery
    from ecg_lib.data.store import EcgStore


class DeepProjector(Projector):
    """The projector of Equation 5 with further linear layers of the LLM's width and GELU."""

    def __init__(self, encoder_width: int, llm_width: int, layers: int):
        super().__init__(encoder_width, llm_width)
        self.further = nn.Sequential(
            *(
                module
                for _ in range(layers - 1)
                for module in (nn.GELU(), nn.Linear(llm_width, llm_width))
            )
        )

    def forward(self, z: Tensor) -> Tensor:
        """Project encoder tokens to slots."""
        return self.further(super().forward(z))  # (B, n, D) -> (B, n / 4, H)


class EncoderProjector(nn.Module):
    """Encoder and projector in the place of the projector, so that answers train both."""

    def __init__(self, encoder: EcgEncoder, projector: Projector):
        super().__init__()
        self.encoder, self.projector = encoder.requires_grad_(True), projector

    @property
    def linear(self) -> nn.Linear:
        """Layer whose dtype the ECG-LLM casts its input to."""
        return self.projector.linear

    def forward(self, ecg: Tensor) -> Tensor:
        """Encode normalised ECGs and project their tokens to slots."""
        return self.projector(self.encoder(ecg).tokens)  # (E, L, T) -> (E, n / 4, H)


class Signals:
    """Normalised ECGs (E, L, T) in the place of the cached tokens of an `EcgTokens`."""

    def __init__(self, store: EcgStore, encoder: EcgEncoder):
        self.store, self.encoder = store, encoder
        self._row = {e: row for row, e in enumerate(store.records["ecg_id"])}

    def get(self, ecg_ids: Sequence[str]) -> Tensor:
        """Return (E, L, T) float32 ECGs in the order of `ecg_ids`."""
        return encoder_input(self.store.mv([self._row[e] for e in ecg_ids]), self.encoder)


def build(
    encoder: EcgEncoder,
    llm: str | Path,
    lora: Lora,
    dtype: str,
    seed: int,
    surgery: Surgery,
    begin: Callable[[EcgLlm, EcgLlmProcessor], None] = lambda *_: None,
) -> tuple[EcgLlm, EcgLlmProcessor]:
    """Build an ECG-LLM with the changes of `surgery`; `encoder` itself stays unchanged.

    Parameters
    ----------
    begin : callable
        Aligns the projector; by default it stays untrained.
    """
    if surgery.train_encoder:
        encoder = copy.deepcopy(encoder)  # other runs start from the given one
    if surgery.train_llm:
        set_seed(seed)
        language_model, tokenizer = load_llm(llm, dtype)
        processor = EcgLlmProcessor(tokenizer, Projector.slots(encoder.config.tokens))
        model = EcgLlm.build(encoder, language_model, processor.slot_id, str(llm))
        model.language_model.requires_grad_(True)
    else:
        model, processor = finetune.new_model(encoder, llm, lora, dtype, seed)
    if surgery.projector_layers > 1:
        model.projector = DeepProjector(
            model.config.encoder_width, model.config.llm_width, surgery.projector_layers
        )
    begin(model, processor)
    if surgery.train_encoder:
        # not a Projector, but it offers all that the model uses of one
        model.projector = EncoderProjector(model.encoder, model.projector)  # type: ignore[assignment]
    return model, processor


def train(
    model: EcgLlm,
    processor: EcgLlmProcessor,
    rows: pd.DataFrame,
    ecgs: EcgTokens | Signals,
    stage: Stage,
    folder: Path,
    seed: int,
) -> None:
    """Train on question rows as `finetune.train_stage` does, but save only `curve.csv`."""
    set_seed(seed)
    rows = finetune.rows_seen(rows, stage, seed)
    together = min(stage.questions_per_ecg, stage.batch_size)
    prepared = finetune.prepare_rows(rows, processor, together, seed)
    batch = finetune.sequences_per_step(prepared, len(rows), stage)
    history = fit(
        model,
        prepared,
        finetune.QuestionCollator(processor, ecgs),
        folder,
        Schedule.of(stage, batch_size=batch, order="by length"),
        seed=seed,
        optimizer=finetune.apart(model, stage),
    )
    history.to_csv(folder / "curve.csv", index=False)

"""Contrast of ECGs with their reports: the paper's objective (section "ECG Encoder")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from ecg_lib.encoders.token_cache import encoder_input
from ecg_lib.objectives.objective import BaseObjective, Given, store_of
from ecg_lib.objectives.parts.clip_text import ClipSettings, a_statement, build_clip, tokenised
from ecg_lib.objectives.parts.gather import contrast, equal, gathered, gathered_lists
from ecg_lib.objectives.parts.losses import clip_loss

MIN_WORDS = 3  # paper: reports with fewer words are removed


def usable(reports: pd.Series) -> pd.Series:
    """Which reports have at least three words (paper, Datasets)."""
    return reports.str.split().str.len() >= MIN_WORDS


@dataclass(frozen=True, kw_only=True)
class Settings(ClipSettings):
    """Values and their reasons stand in `conf/objective/clip_reports.yaml`."""

    epochs: int
    whole: float  # share of texts that are a whole report; the others are one statement of it


class Objective(BaseObjective):
    """CLIP on whole reports, where equal reports are no negatives; below 1, on statements too.

    With `whole` below 1 every ECG whose report contains a text is a positive of it.
    """

    def __init__(self, encoder: PreTrainedModel, settings: Settings, given: Given):
        super().__init__(encoder, settings, given)
        self.store = store_of(given)
        reports = self.store.records["report"]
        self.reports, good = reports.tolist(), usable(reports).to_numpy()
        self.train_rows, self.valid_rows = (
            [int(i) for i in rows if good[i]] for rows in (given.train, given.valid)
        )
        texts = reports.iloc[self.train_rows].tolist()
        self.clip, self.tokenizer = build_clip(encoder, settings, given, texts)

    def rows(self) -> tuple[list[dict], list[dict]]:
        return [{"row": i} for i in self.train_rows], [{"row": i} for i in self.valid_rows]

    def collate(self, rows: Sequence[dict]) -> dict[str, Any]:
        index = [row["row"] for row in rows]
        texts = reports = [self.reports[i] for i in index]
        ecg = encoder_input(self.store.mv(index), self.clip.ecg_encoder)
        if self.settings.whole < 1:
            texts = [a_statement(r, self.settings.whole, self.generator) for r in reports]
        words = tokenised(self.tokenizer, texts, self.given.text.max_tokens)
        return {"ecg": ecg, **words, "texts": texts, "reports": reports}

    def forward(
        self,
        ecg: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        texts: Sequence[str],
        reports: Sequence[str],
    ) -> ModelOutput:
        """Loss of a batch.

        Parameters
        ----------
        ecg : (B, 12, T), normalised
        input_ids, attention_mask : (B, L), the texts as tokens
        texts, reports : (B,), a text for each ECG and the ECG's whole report
        """
        ecgs = self.clip.embed_ecg(ecg)  # (B, E)
        words = self.clip.embed_text(input_ids, attention_mask)  # (B, E)
        if self.settings.whole < 1:
            loss = contrast(ecgs, words, self.clip.scale(), texts, reports)
        else:
            same = equal(gathered_lists(reports)[0]).to(ecgs.device)
            loss = clip_loss(gathered(ecgs), gathered(words), self.clip.scale(), same)
        return ModelOutput(loss=loss)

    def save(self, folder: Path) -> None:
        """`clip/` with its tokenizer."""
        self.clip.save_pretrained(folder / "clip")
        self.tokenizer.save_pretrained(str(folder / "clip"))

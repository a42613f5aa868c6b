"""Contrast of real ECGs with pieces of their reports, from scratch or from what others taught.

A text is a run of words of a report (`data.report_text`), and every ECG whose report contains it
is a positive: "sinus rhythm" belongs to most of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from ecg_lib.data.report_text import plain_text
from ecg_lib.data.store import EcgStore
from ecg_lib.encoders.token_cache import encoder_input
from ecg_lib.objectives.objective import BaseObjective, Given, store_of
from ecg_lib.objectives.parts.augment import Augmentation, augment
from ecg_lib.objectives.parts.clip_text import ClipSettings, build_clip, tokenised
from ecg_lib.objectives.parts.gather import contrast

MIN_WORDS = 2  # "normal ecg" is a report; nothing is left of "trace only requested"


def usable_rows(store: EcgStore, rows: Sequence[int]) -> np.ndarray:
    """Those of some rows whose report says something once labels and remarks are gone."""
    reports = store.records["report"].iloc[list(rows)].map(plain_text)
    return np.asarray(rows)[(reports.str.split().str.len() >= MIN_WORDS).to_numpy()]


def a_run(report: str, whole: float, longest: int, generator: torch.Generator) -> str:
    """1 to `longest` words in a row of a report, or with probability `whole` all of it."""
    words = report.split()
    drawn, length, at = torch.rand(3, generator=generator).tolist()
    if drawn < whole:
        return report
    length = min(len(words), 1 + int(longest * length))
    at = int((len(words) - length + 1) * at)
    return " ".join(words[at : at + length])


@dataclass(frozen=True, kw_only=True)
class Settings(ClipSettings):
    """Values and their reasons stand in `conf/objective/clip_snippets.yaml`."""

    epochs: int
    whole: float  # share of texts that are a whole report
    words: int  # of the other texts, at most
    gain: float  # random gain, as a share of what simulated ECGs get


class Objective(BaseObjective):
    """CLIP on runs of words of plain reports, and on ECGs roughened at random.

    No label is read, and nothing is looked at to stop early.
    """

    def __init__(self, encoder: PreTrainedModel, settings: Settings, given: Given):
        super().__init__(encoder, settings, given)
        self.store = store_of(given)
        self.reports = self.store.records["report"].map(plain_text).tolist()
        self.train_rows, self.valid_rows = (
            usable_rows(self.store, rows).tolist() for rows in (given.train, given.valid)
        )
        texts = [self.reports[i] for i in self.train_rows]
        self.clip, self.tokenizer = build_clip(encoder, settings, given, texts)
        usual = Augmentation()
        self.how = replace(
            usual,
            gain_log_sd=settings.gain * usual.gain_log_sd,
            lead_gain_log_sd=settings.gain * usual.lead_gain_log_sd,
        )

    def rows(self) -> tuple[list[dict], list[dict]]:
        return [{"row": i} for i in self.train_rows], [{"row": i} for i in self.valid_rows]

    def collate(self, rows: Sequence[dict]) -> dict[str, Any]:
        index, settings = [row["row"] for row in rows], self.settings
        reports = [self.reports[i] for i in index]
        texts = [a_run(r, settings.whole, settings.words, self.generator) for r in reports]
        words = tokenised(self.tokenizer, texts, self.given.text.max_tokens)
        signals = torch.from_numpy(self.store.mv(index))
        ecg = augment(signals, self.generator, self.how, self.store.rate)
        return {
            "ecg": encoder_input(ecg.numpy(), self.clip.ecg_encoder),
            **words,
            "texts": [f" {text} " for text in texts],  # spaces: whole words only
            "reports": [f" {report} " for report in reports],
        }

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
        texts, reports : (B,), a text for each ECG and the ECG's whole report, in spaces
        """
        ecgs = self.clip.embed_ecg(ecg)  # (B, E)
        words = self.clip.embed_text(input_ids, attention_mask)  # (B, E)
        return ModelOutput(loss=contrast(ecgs, words, self.clip.scale(), texts, reports))

    def save(self, folder: Path) -> None:
        """`clip/` with its tokenizer."""
        self.clip.save_pretrained(folder / "clip")
        self.tokenizer.save_pretrained(str(folder / "clip"))

"""Contrast of real ECGs with pieces of their reports, from scratch or from what others taught.

A text is a run of words of a report (`data.report_text`), and every ECG whose report contains it
is a positive: "sinus rhythm" belongs to most of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import PreTrainedModel

from ecg_lib.data.report_text import plain_text
from ecg_lib.encoders.token_cache import encoder_input
from ecg_lib.objectives.objective import Given
from ecg_lib.objectives.parts.augment import Augmentation, augment
from ecg_lib.objectives.parts.clip_text import ClipSettings, tokenised
from ecg_lib.objectives.parts.report_contrast import ReportContrast


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


class Objective(ReportContrast):
    """CLIP on runs of words of plain reports, and on ECGs roughened at random.

    No label is read, and nothing is looked at to stop early.
    """

    FEWEST = 2  # "normal ecg" is a report; nothing is left of "trace only requested"
    worded = staticmethod(plain_text)

    def __init__(self, encoder: PreTrainedModel, settings: Settings, given: Given):
        super().__init__(encoder, settings, given)
        usual = Augmentation()
        self.how = replace(
            usual,
            gain_log_sd=settings.gain * usual.gain_log_sd,
            lead_gain_log_sd=settings.gain * usual.lead_gain_log_sd,
        )

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

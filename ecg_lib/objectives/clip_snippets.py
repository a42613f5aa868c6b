"""Contrastive pretraining of real ECGs with snippets of their reports.

Training starts from scratch or from a pretrained CLIP. A text is a run of consecutive words from a
report (`data.report_text`). Every ECG whose report contains the text is a positive: "sinus rhythm"
belongs to most of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from ecg_lib.data.report_text import plain_text
from ecg_lib.encoders.token_cache import encoder_input
from ecg_lib.objectives.objective import Given
from ecg_lib.objectives.parts.augment import Augmentation, augment
from ecg_lib.objectives.parts.clip_text import ClipSettings, tokenised
from ecg_lib.objectives.parts.report_contrast import ReportContrast

if TYPE_CHECKING:
    from ecg_lib.encoders.base import EcgEncoder


def a_run(report: str, whole: float, longest: int, generator: torch.Generator) -> str:
    """Draw 1 to `longest` consecutive words of a report, or all of it with probability `whole`."""
    words = report.split()
    drawn, length, at = torch.rand(3, generator=generator).tolist()
    if drawn < whole:
        return report
    length = min(len(words), 1 + int(longest * length))
    at = int((len(words) - length + 1) * at)
    return " ".join(words[at : at + length])


@dataclass(frozen=True, kw_only=True)
class Settings(ClipSettings):
    """Hyperparameters; `conf/objective/clip_snippets.yaml` gives their values and the reasons."""

    epochs: int
    whole: float  # share of texts that are a whole report
    words: int  # longest snippet, in words
    gain: float  # strength of the random gain, as a share of that of simulated ECGs


class Objective(ReportContrast):
    """CLIP on randomly augmented ECGs and snippets of plain-text reports.

    It reads no label, and nothing triggers early stopping.
    """

    settings: Settings
    FEWEST = 2  # "normal ecg" counts as a report; "trace only requested" is reduced to no words
    worded = staticmethod(plain_text)

    def __init__(self, encoder: EcgEncoder, settings: Settings, given: Given):
        super().__init__(encoder, settings, given)
        usual = Augmentation()
        self.how = replace(
            usual,
            gain_log_sd=settings.gain * usual.gain_log_sd,
            lead_gain_log_sd=settings.gain * usual.lead_gain_log_sd,
        )

    def collate(self, rows: Sequence[dict]) -> dict[str, Any]:
        """Augment and normalise the ECGs, and draw a snippet from each one's report."""
        index, settings = [row["row"] for row in rows], self.settings
        reports = [self.reports[i] for i in index]
        texts = [a_run(r, settings.whole, settings.words, self.generator) for r in reports]
        words = tokenised(self.tokenizer, texts, self.given.text.max_tokens)
        signals = torch.from_numpy(self.store.mv(index))
        ecg = augment(signals, self.generator, self.how, self.store.rate)
        return {
            "ecg": encoder_input(ecg.numpy(), self.clip.ecg_encoder),
            **words,
            "texts": [f" {text} " for text in texts],  # with spaces only whole words match
            "reports": [f" {report} " for report in reports],
        }

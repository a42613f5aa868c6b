"""Contrastive pretraining of ECGs with their reports, as in the paper (section "ECG Encoder")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ecg_lib.encoders.token_cache import encoder_input
from ecg_lib.objectives.parts.clip_text import ClipSettings, a_statement, tokenised
from ecg_lib.objectives.parts.gather import equal, gathered, gathered_lists
from ecg_lib.objectives.parts.losses import clip_loss
from ecg_lib.objectives.parts.report_contrast import ReportContrast


@dataclass(frozen=True, kw_only=True)
class Settings(ClipSettings):
    """Hyperparameters; `conf/objective/clip_reports.yaml` gives their values and the reasons."""

    epochs: int
    whole: float  # share of texts that are a whole report; the others are one statement from it


class Objective(ReportContrast):
    """CLIP on whole reports, or on single statements too if `whole` is below 1.

    With whole reports, an equal report of another ECG is not a negative. With statements, every ECG
    whose report contains a text is a positive for that text.
    """

    settings: Settings
    FEWEST = 3  # paper: reports with fewer words are removed

    def collate(self, rows: Sequence[dict]) -> dict[str, Any]:
        """Read and normalise the ECGs, and draw a text from each one's report."""
        index = [row["row"] for row in rows]
        texts = reports = [self.reports[i] for i in index]
        ecg = encoder_input(self.store.mv(index), self.clip.ecg_encoder)
        if self.settings.whole < 1:
            texts = [a_statement(r, self.settings.whole, self.generator) for r in reports]
        words = tokenised(self.tokenizer, texts, self.given.text.max_tokens)
        return {"ecg": ecg, **words, "texts": texts, "reports": reports}

    def loss(
        self, ecgs: Tensor, words: Tensor, texts: Sequence[str], reports: Sequence[str]
    ) -> Tensor:
        """Return the contrastive loss of a batch; parameters are those of `ReportContrast.loss`."""
        if self.settings.whole < 1:
            return super().loss(ecgs, words, texts, reports)
        same = equal(gathered_lists(reports)[0]).to(ecgs.device)
        return clip_loss(gathered(ecgs), gathered(words), self.clip.scale(), same)

"""Base class of the objectives that contrast a store's ECGs with texts from their reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor
from transformers.utils import ModelOutput

from ecg_lib.objectives.objective import BaseObjective, Given, store_of
from ecg_lib.objectives.parts.clip_text import ClipSettings, build_clip
from ecg_lib.objectives.parts.gather import contrast

if TYPE_CHECKING:
    import numpy as np

    from ecg_lib.encoders.base import EcgEncoder


class ReportContrast(BaseObjective):
    """A CLIP trained on ECGs and texts; a subclass makes the texts in `collate`."""

    FEWEST = 1  # shorter reports, in words, are not used

    def __init__(self, encoder: EcgEncoder, settings: ClipSettings, given: Given):
        super().__init__(encoder, settings, given)
        self.store = store_of(given)
        self.reports = self.store.records["report"].map(self.worded).tolist()
        self.train_rows, self.valid_rows = map(self.usable, (given.train, given.valid))
        texts = [self.reports[i] for i in self.train_rows]
        self.clip, self.tokenizer = build_clip(encoder, settings, given, texts)

    @staticmethod
    def worded(report: str) -> str:
        """Return a report in the wording used for training."""
        return report

    def usable(self, rows: Sequence[int] | np.ndarray) -> list[int]:
        """Return the rows whose report has at least `FEWEST` words."""
        return [int(i) for i in rows if len(self.reports[i].split()) >= self.FEWEST]

    def rows(self) -> tuple[list[dict], list[dict]]:
        """Return the usable rows of the store, for training and for validation."""
        return [{"row": i} for i in self.train_rows], [{"row": i} for i in self.valid_rows]

    def forward(
        self,
        ecg: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        texts: Sequence[str],
        reports: Sequence[str],
    ) -> ModelOutput:
        """Return the loss of a batch.

        Parameters
        ----------
        ecg : (B, L, T) float32, normalised
        input_ids, attention_mask : (B, L) int64
            The tokenized texts.
        texts, reports : sequences of B str
            A text for each ECG, and the ECG's whole report.
        """
        ecgs = self.clip.embed_ecg(ecg)  # (B, E)
        words = self.clip.embed_text(input_ids, attention_mask)  # (B, E)
        return ModelOutput(loss=self.loss(ecgs, words, texts, reports))

    def loss(
        self, ecgs: Tensor, words: Tensor, texts: Sequence[str], reports: Sequence[str]
    ) -> Tensor:
        """Compute the contrastive loss of a batch.

        Every ECG whose report contains a text is a positive for that text.

        Parameters
        ----------
        ecgs, words : (B, E)
            Unit vectors of the ECGs and of the texts.
        texts, reports : sequences of B str
            A text for each ECG, and the ECG's whole report.
        """
        return contrast(ecgs, words, self.clip.scale(), texts, reports)

    def save(self, folder: Path) -> None:
        """Write the CLIP and its tokenizer to `clip/`."""
        self.clip.save_pretrained(folder / "clip")
        self.tokenizer.save_pretrained(str(folder / "clip"))

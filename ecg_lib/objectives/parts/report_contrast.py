"""What objectives share that contrast a store's ECGs with texts made of their reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from ecg_lib.objectives.objective import BaseObjective, Given, store_of
from ecg_lib.objectives.parts.clip_text import ClipSettings, build_clip
from ecg_lib.objectives.parts.gather import contrast


class ReportContrast(BaseObjective):
    """A CLIP on ECGs and texts; a subclass makes the texts in `collate`."""

    FEWEST = 1  # words of a report that is learned from

    def __init__(self, encoder: PreTrainedModel, settings: ClipSettings, given: Given):
        super().__init__(encoder, settings, given)
        self.store = store_of(given)
        self.reports = self.store.records["report"].map(self.worded).tolist()
        self.train_rows, self.valid_rows = map(self.usable, (given.train, given.valid))
        texts = [self.reports[i] for i in self.train_rows]
        self.clip, self.tokenizer = build_clip(encoder, settings, given, texts)

    @staticmethod
    def worded(report: str) -> str:
        """A report as it is learned from."""
        return report

    def usable(self, rows: Sequence[int]) -> list[int]:
        """Those of some rows whose report has words enough."""
        return [int(i) for i in rows if len(self.reports[i].split()) >= self.FEWEST]

    def rows(self) -> tuple[list[dict], list[dict]]:
        return [{"row": i} for i in self.train_rows], [{"row": i} for i in self.valid_rows]

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
        return ModelOutput(loss=self.loss(ecgs, words, texts, reports))

    def loss(
        self, ecgs: Tensor, words: Tensor, texts: Sequence[str], reports: Sequence[str]
    ) -> Tensor:
        """Of unit vectors (B, E): every ECG whose report contains a text is a positive of it."""
        return contrast(ecgs, words, self.clip.scale(), texts, reports)

    def save(self, folder: Path) -> None:
        """`clip/` with its tokenizer."""
        self.clip.save_pretrained(folder / "clip")
        self.tokenizer.save_pretrained(str(folder / "clip"))

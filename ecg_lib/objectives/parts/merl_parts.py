"""What MERL and K-MERL share: masked ECGs, reports, and a loss of named, weighted parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import TrainerCallback
from transformers.utils import ModelOutput

from ecg_lib.encoders.token_cache import encoder_input
from ecg_lib.errors import ConfigError
from ecg_lib.objectives.objective import BaseObjective, BaseSettings, Given, store_of
from ecg_lib.objectives.parts.contrast_forms import check_contrast, contrast_loss
from ecg_lib.objectives.parts.entity_targets import EntityTargets, entity_targets
from ecg_lib.objectives.parts.gather import equal, gathered, gathered_lists
from ecg_lib.objectives.parts.lead_masks import JOINT, PER_LEAD, LeadMasking
from ecg_lib.objectives.parts.loss_parts import PartsLog, gradient_norms
from ecg_lib.objectives.parts.masked_reading import masked_input, read, segments_of
from ecg_lib.objectives.parts.merl_clip import EntityReading, build_merl
from ecg_lib.objectives.parts.report_vectors import ReportVectors

if TYPE_CHECKING:
    import numpy as np

    from ecg_lib.encoders.base import EcgEncoder, EncoderOutput

ENTITIES_OVER = ("mean", "sum")


@dataclass(frozen=True, kw_only=True)
class MerlSettings(BaseSettings):
    """Hyperparameters that MERL and K-MERL share."""

    epochs: int
    fewest_words: int  # reports with fewer are not used
    width: int  # dimension of the space that ECGs and texts share
    temperature: float  # fixed
    text_dropout: bool  # a frozen text encoder reads each text anew with its dropout
    contrast_weight: float  # 0 leaves the part out
    contrast: str  # infonce, decoupled or printed
    directions: str  # sum or mean of both directions, or ecg: ECG-to-text alone
    mask_equal: bool  # an equal report of another ECG is no negative
    entities_weight: float  # 0 leaves the part out
    entities: str  # lexicon, codes (the store's own labels), or a folder of mined labels
    entities_over: str  # mean or sum of the binary losses over the entities of an ECG
    masked_leads: tuple[int, ...]  # numbers of masked leads to draw from; empty: no lead is masked
    leads_per_ecg: bool  # draw that number for each ECG, not once per batch (which is faster)
    segments: float  # share of the segments of shown leads that is masked
    segment_masking: (
        str  # per_lead: equally many of each shown lead; joint: of all of them together
    )
    segment_seconds: float  # length of a segment, for encoders that cannot drop tokens
    gradient_norms: bool  # record each part's gradient at the encoder, once per line of the curve

    def __post_init__(self) -> None:
        object.__setattr__(self, "masked_leads", tuple(self.masked_leads))
        check_contrast(self.contrast, self.directions)
        if self.entities_over not in ENTITIES_OVER:
            raise ConfigError(f"entities_over is {self.entities_over!r}; choose mean or sum")
        if self.temperature <= 0:
            raise ConfigError(f"temperature is {self.temperature:g}; give more than 0")
        weights = self.weights()
        for name, weight in weights.items():
            if weight < 0:
                raise ConfigError(f"{name}_weight is {weight:g}; give 0 or more")
        if not any(weights.values()):
            raise ConfigError(f"{', '.join(weights)} all have weight 0; give one of them more")
        if any(number < 0 for number in self.masked_leads):
            raise ConfigError(f"masked_leads is {list(self.masked_leads)}; give numbers from 0")
        if not 0 <= self.segments < 1:
            raise ConfigError(f"segments is {self.segments:g}; give a share from 0 to below 1")
        if self.segment_masking not in (PER_LEAD, JOINT):
            told = f"segment_masking is {self.segment_masking!r}"
            raise ConfigError(f"{told}; choose {PER_LEAD} or {JOINT}")
        if self.segment_seconds <= 0:
            raise ConfigError(f"segment_seconds is {self.segment_seconds:g}; give more than 0 s")

    @property
    def masking(self) -> LeadMasking | None:
        """The masks of a training step; None if nothing is masked."""
        if not self.masked_leads and not self.segments:
            return None
        numbers = self.masked_leads or (0,)
        return LeadMasking(numbers, self.leads_per_ecg, self.segment_masking, self.segments)

    def reads(self) -> list[Path]:
        """Return the files of mined labels: training depends on what is in them."""
        folder = Path(self.entities)
        mined = self.entities_weight > 0 and folder.is_dir()
        return sorted(file for file in folder.rglob("*") if file.is_file()) if mined else []

    def weights(self) -> dict[str, float]:
        """Return the weight of each part of the loss."""
        return {"contrast": self.contrast_weight, "entities": self.entities_weight}


class MerlParts(BaseObjective):
    """Base class: reads a store, masks ECGs, and adds up the parts of the loss.

    A subclass says in `reading` how entities are read, and may add parts of its own in `parts`.
    """

    settings: MerlSettings

    def __init__(self, encoder: EcgEncoder, settings: MerlSettings, given: Given):
        super().__init__(encoder, settings, given)
        self.store, self.masking = store_of(given), settings.masking
        self.leads = len(encoder.config.ecg_input.leads)
        if max(settings.masked_leads, default=0) >= self.leads:
            raise ConfigError(
                f"objective.masked_leads is {list(settings.masked_leads)}, but the encoder reads "
                f"{self.leads} leads; mask fewer"
            )
        self.segments = segments_of(encoder, settings.segment_seconds)
        self.reports = self.store.records["report"].tolist()
        self.train_rows, self.valid_rows = map(self.usable, (given.train, given.valid))
        used = [self.reports[i] for i in (*self.train_rows, *self.valid_rows)]
        self.targets: EntityTargets | None = None
        entities = None
        if settings.entities_weight and self.train_rows:
            rows = self.train_rows, self.valid_rows
            self.targets = entity_targets(settings.entities, self.store, self.reports, *rows)
            entities = self.reading(self.targets.names)
        texts = used[: len(self.train_rows)]
        self.clip, self.tokenizer = build_merl(
            encoder, given, texts, settings.width, settings.temperature, entities
        )
        if self.targets:
            self.clip.set_rates(self.targets.rates(self.train_rows))
        self.texts = ReportVectors(
            self.clip.text_encoder, self.tokenizer, given.text.max_tokens, settings.text_dropout
        )
        if settings.contrast_weight:
            self.texts.prepare(used)
        else:  # data parallelism fails if a trainable weight gets no gradient
            self.clip.ecg_projection.requires_grad_(False)
            self.clip.text_projection.requires_grad_(False)
        self.log = PartsLog()

    def reading(self, names: Sequence[str]) -> EntityReading:
        """Return how entities of these names are read."""
        raise NotImplementedError

    def usable(self, rows: Sequence[int] | np.ndarray) -> list[int]:
        """Return the rows whose report has enough words."""
        fewest = self.settings.fewest_words
        return [int(i) for i in rows if len(self.reports[i].split()) >= fewest]

    def rows(self) -> tuple[list[dict], list[dict]]:
        """Return the usable rows of the store, for training and for validation."""
        return [{"row": i} for i in self.train_rows], [{"row": i} for i in self.valid_rows]

    def callbacks(self) -> Sequence[TrainerCallback]:
        """Return the log of the parts."""
        return (self.log,)

    def collate(self, rows: Sequence[dict]) -> dict[str, Any]:
        """Read and normalise the ECGs, and draw which leads and segments of each are shown."""
        index, encoder = [row["row"] for row in rows], self.clip.ecg_encoder
        lead_mask = torch.ones(len(index), self.leads, dtype=torch.bool)
        keep = torch.zeros(len(index), 0, dtype=torch.long)
        if self.masking:
            drawn = len(index), self.leads, self.segments, self.generator
            lead_mask, keep = self.masking.draw(*drawn)
            ecg = masked_input(self.store.mv(index), encoder, lead_mask)
        else:
            ecg = encoder_input(self.store.mv(index), encoder)
        return {
            "ecg": ecg,
            "lead_mask": lead_mask,
            "keep": keep,
            "reports": [self.reports[i] for i in index],
            "targets": self.targets.of(index) if self.targets else torch.zeros(len(index), 0),
        }

    def forward(
        self, ecg: Tensor, lead_mask: Tensor, keep: Tensor, reports: Sequence[str], targets: Tensor
    ) -> ModelOutput:
        """Return the weighted sum of the parts.

        Parameters
        ----------
        ecg : (B, L, T) float32, normalised
        lead_mask : (B, L) bool
            True where a lead is shown.
        keep : (B, k) int64
            Positions of the segments that are shown, as for `masked_reading.read`; k is 0 if
            nothing is masked.
        reports : sequence of B str
        targets : (B, Q) float32
            Entities, 0 or 1; Q = 0 without this part.
        """
        encoder = self.clip.ecg_encoder
        if self.masking:
            encoded = read(encoder, ecg, lead_mask, keep, self.segments)
        else:
            encoded = read(encoder, ecg)
        parts, weights = self.parts(encoded, reports, targets), self.settings.weights()
        weighted = {name: weights[name] * value for name, value in parts.items()}
        if self.training:
            norms = self.settings.gradient_norms and self.log.fresh
            self.log.note(parts | (gradient_norms(weighted, encoder) if norms else {}))
        return ModelOutput(loss=torch.stack(list(weighted.values())).sum())

    def parts(
        self, encoded: EncoderOutput, reports: Sequence[str], targets: Tensor
    ) -> dict[str, Tensor]:
        """Return the parts whose weight is not 0, unweighted; parameters as for `forward`."""
        parts, settings = {}, self.settings
        if settings.contrast_weight:
            ecgs = self.clip.project_ecg(encoded.cls)  # (B, E)
            words = self.clip.project_text(self.texts.of(reports))  # (B, E)
            parts["contrast"] = self.contrast(ecgs, words, reports if settings.mask_equal else None)
        if settings.entities_weight:
            logits = self.clip.entity_logits(encoded, self.queries())  # (B, Q)
            each = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
            whole = each.mean(1) if settings.entities_over == "mean" else each.sum(1)
            parts["entities"] = whole.mean()
        return parts

    def contrast(self, one: Tensor, other: Tensor, reports: Sequence[str] | None) -> Tensor:
        """Contrast unit vectors (B, E) over all processes; equal `reports` are no negatives."""
        form, directions = self.settings.contrast, self.settings.directions
        same = None if reports is None else equal(gathered_lists(reports)[0]).to(one.device)
        pair = gathered(one), gathered(other)
        return contrast_loss(*pair, self.clip.scale(), form, directions, same)

    def queries(self) -> Tensor:
        """Return the vectors of the entities' names, (Q, W)."""
        own = self.clip.entities
        assert own is not None  # only asked for with entities
        if self.texts.trained and own.queries == "names":
            return self.clip.query_vectors(self.tokenizer, own.names)
        return self._fixed_queries.to(self.clip.log_scale.device)

    @cached_property
    def _fixed_queries(self) -> Tensor:
        own = self.clip.entities
        assert own is not None
        text = self.clip.text_encoder
        training = text.training
        with torch.no_grad():
            text.eval()
            vectors = self.clip.query_vectors(self.tokenizer, own.names)
        text.train(training)
        return vectors.float().cpu()

    def save(self, folder: Path) -> None:
        """Write the model and its tokenizer to `clip/`, and the course of the parts."""
        self.clip.save_pretrained(folder / "clip")
        self.tokenizer.save_pretrained(str(folder / "clip"))
        self.log.write(folder)

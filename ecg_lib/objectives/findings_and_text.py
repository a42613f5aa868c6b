"""Simulated ECGs, drawn anew for every step, teach an encoder by two readings at once.

A head reads the findings that the simulator knows to be true; a text encoder reads pieces of the
reports, contrasted as in CLIP with every ECG that a piece is true of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoTokenizer, PreTrainedModel
from transformers.utils import ModelOutput

from ecg_lib.encoders.token_cache import encoder_input
from ecg_lib.errors import ConfigError
from ecg_lib.knowledge.findings import transfer_findings
from ecg_lib.objectives.objective import BaseObjective, Given
from ecg_lib.objectives.parts.augment import Augmentation, augment
from ecg_lib.objectives.parts.clip import EcgClip
from ecg_lib.objectives.parts.clip_text import ClipSettings, a_statement, build_clip, tokenised
from ecg_lib.objectives.parts.fresh_ecgs import FreshEcgs
from ecg_lib.objectives.parts.gather import contrast
from ecg_lib.objectives.parts.heads import FindingHead
from ecg_lib.training.averaging import renew_batch_norm
from ecg_lib.training.fit import Schedule
from ecg_lib.training.muon import MuonAdamW

_RENEWING = 60  # batches that batch norm's statistics are taken from
_TOKEN_REPORTS = 3000  # reports the tokenizer is trained on, or as many as there are ECGs


class FindingsAndText(nn.Module):
    """An encoder with its two readings: a head on findings, and text by contrast.

    Parameters
    ----------
    clip : encoder, text encoder and their projections
    tokenizer : of the text encoder
    findings : names of the head's outputs
    """

    def __init__(self, clip: EcgClip, tokenizer, findings: Sequence[str]):
        super().__init__()
        self.clip, self.tokenizer, self.findings = clip, tokenizer, list(findings)
        self.head = FindingHead(clip.ecg_encoder.config.width, len(self.findings))

    def forward(self, ecg: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 12, T) normalised ECGs -> logits of the head (B, F), unit vectors (B, E)."""
        encoded = self.clip.ecg_encoder(ecg)
        return self.head(encoded), F.normalize(self.clip.ecg_projection(encoded.cls), dim=-1)

    @torch.no_grad()
    def read(self, ecg: Tensor, prompts: Mapping[str, Sequence[str]]) -> tuple[Tensor, Tensor]:
        """Logits of the head (B, F) and cosine to the mean of each finding's prompts (B, P)."""
        logits, ecg_embeds = self(ecg)
        return logits, ecg_embeds @ self.embed_prompts(prompts).T

    @torch.no_grad()
    def embed_prompts(self, prompts: Mapping[str, Sequence[str]]) -> Tensor:
        """Mean embedding (P, E) of each finding's prompts."""
        rows = []
        for texts in prompts.values():
            words = self.tokenizer(list(texts), padding=True, return_tensors="pt")
            rows.append(self.clip.embed_text(words["input_ids"], words["attention_mask"]).mean(0))
        return torch.stack(rows)

    def save_pretrained(self, folder: str | Path) -> None:
        """`clip/` with its tokenizer, the head (safetensors) and the names of its findings."""
        folder = Path(folder)
        self.clip.save_pretrained(folder / "clip")
        self.tokenizer.save_pretrained(str(folder / "clip"))
        head = {k: v.contiguous() for k, v in self.head.state_dict().items()}
        save_file(head, str(folder / "head.safetensors"))
        (folder / "findings.json").write_text(json.dumps(self.findings, indent=1) + "\n")

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> FindingsAndText:
        """Load what `save_pretrained` wrote; ready for evaluation."""
        folder = Path(folder)
        findings = json.loads((folder / "findings.json").read_text())
        tokenizer = AutoTokenizer.from_pretrained(str(folder / "clip"))
        model = cls(EcgClip.from_pretrained(folder / "clip"), tokenizer, findings)
        model.head.load_state_dict(load_file(str(folder / "head.safetensors")))
        return model.eval()


@dataclass(frozen=True, kw_only=True)
class Settings(ClipSettings):
    """Values and their reasons stand in `conf/objective/findings_and_text.yaml`."""

    ecgs: int  # drawn for each seed, none twice
    optimizer: str  # adamw or muon
    average: float  # share of the last steps whose weights are averaged, at a constant rate
    whole: float  # share of texts that are a whole report; the others are one statement of it
    text_weight: float  # of the contrast with texts, beside the head's loss
    smoothing: float  # of the findings' 0 and 1

    def __post_init__(self):
        if self.optimizer not in ("adamw", "muon"):
            raise ConfigError(f"optimizer is {self.optimizer!r}; choose adamw or muon")
        if not 0 <= self.average <= 1:
            raise ConfigError("average must lie between 0 and 1")


class Objective(BaseObjective):
    """Findings by the head and statements by contrast, on ECGs that no step has seen before."""

    def __init__(self, encoder: PreTrainedModel, settings: Settings, given: Given):
        super().__init__(encoder, settings, given)
        self.ecgs = FreshEcgs(given.seed, settings.batch_size)
        batches = -(-min(_TOKEN_REPORTS, settings.ecgs) // settings.batch_size)
        others = FreshEcgs(given.seed + 1, settings.batch_size)
        drafts = (draft for step in range(1, 1 + batches) for draft in others.drafts(step))
        clip, tokenizer = build_clip(encoder, settings, given, [d.report for d in drafts])
        self.model = FindingsAndText(clip, tokenizer, list(transfer_findings()["finding"]))
        self.steps = max(1, settings.ecgs // settings.batch_size)

    def rows(self) -> tuple[list[dict], list[dict]]:
        """The numbers of the steps: a row is a whole batch."""
        return [{"step": k} for k in range(self.steps)], []

    def schedule(self, rows: int) -> Schedule:
        return Schedule.of(self.settings, epochs=1, batch_size=1, clip_norm=1.0)

    def optimizer(self) -> torch.optim.Optimizer | None:
        if self.settings.optimizer == "adamw":
            return None
        embeddings = tuple(m for m in self.modules() if isinstance(m, nn.Embedding))
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        return MuonAdamW(self, embeddings, rate, decay)

    def collate(self, rows: Sequence[dict]) -> dict[str, Any]:
        step = rows[0]["step"]
        ecg, targets, reports = self.ecgs.batch(step)
        generator = torch.Generator().manual_seed(hash((self.ecgs.seed, step)) % 2**63)
        ecg = augment(ecg, generator, Augmentation())
        texts = [a_statement(report, self.settings.whole, generator) for report in reports]
        return {
            "ecg": encoder_input(ecg.numpy(), self.model.clip.ecg_encoder),
            "targets": targets,
            **tokenised(self.model.tokenizer, texts, self.given.text.max_tokens),
            "texts": texts,
            "reports": reports,
        }

    def forward(
        self,
        ecg: Tensor,
        targets: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        texts: Sequence[str],
        reports: Sequence[str],
    ) -> ModelOutput:
        """Loss of both readings.

        Parameters
        ----------
        ecg : (B, 12, T), normalised
        targets : (B, F), 0 or 1
        input_ids, attention_mask : (B, L), the texts as tokens
        texts, reports : (B,), a text for each ECG and the ECG's whole report
        """
        smoothing, clip = self.settings.smoothing, self.model.clip
        logits, ecgs = self.model(ecg)  # (B, F), (B, E)
        soft = targets * (1 - 2 * smoothing) + smoothing
        findings = F.binary_cross_entropy_with_logits(logits, soft)
        words = clip.embed_text(input_ids, attention_mask)  # (B, E)
        said = contrast(ecgs, words, clip.scale(), texts, reports)
        return ModelOutput(loss=findings + self.settings.text_weight * said, logits=logits)

    def finish(self) -> None:
        """Averaged weights need batch-norm statistics of their own, from ECGs not yet seen."""
        if self.settings.average:
            unseen = range(self.steps, self.steps + min(_RENEWING, self.steps))
            renew_batch_norm(self, (self.collate([{"step": k}]) for k in unseen))

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)

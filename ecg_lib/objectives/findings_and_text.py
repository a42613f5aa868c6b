"""Pretraining on simulated ECGs, drawn anew for every step, with two losses at once.

A head predicts the findings that the simulator knows to be true. A text encoder reads pieces of the
reports, each contrasted as in CLIP: every ECG of which a piece is true is a positive.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoTokenizer
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

if TYPE_CHECKING:
    from ecg_lib.encoders.base import EcgEncoder

_RENEWING = 60  # most batches from which the batch-norm statistics are recomputed
_TOKEN_REPORTS = 3000  # reports on which the tokenizer is trained, or fewer if there are fewer ECGs


class FindingsAndText(nn.Module):
    """An ECG encoder with a head for findings and a text encoder for contrast.

    Parameters
    ----------
    clip : EcgClip
        ECG encoder, text encoder and their projections.
    tokenizer : PreTrainedTokenizerBase
        The tokenizer of the text encoder.
    findings : sequence of str
        Names of the head's F outputs.
    """

    def __init__(self, clip: EcgClip, tokenizer, findings: Sequence[str]):
        super().__init__()
        self.clip, self.tokenizer, self.findings = clip, tokenizer, list(findings)
        self.head = FindingHead(clip.ecg_encoder.config.width, len(self.findings))

    def forward(self, ecg: Tensor) -> tuple[Tensor, Tensor]:
        """Map normalised ECGs (B, L, T) to the head's logits (B, F) and unit vectors (B, E)."""
        encoded = self.clip.ecg_encoder(ecg)
        return self.head(encoded), F.normalize(self.clip.ecg_projection(encoded.cls), dim=-1)

    @torch.no_grad()
    def read(self, ecg: Tensor, prompts: Mapping[str, Sequence[str]]) -> tuple[Tensor, Tensor]:
        """Score findings by the head and by text.

        Parameters
        ----------
        ecg : (B, L, T) float32, normalised
        prompts : mapping of str to sequence of str
            The prompts of each of P findings.

        Returns
        -------
        logits : (B, F)
            The head's.
        scores : (B, P)
            Dot product of each ECG with the mean embedding of each finding's prompts.
        """
        logits, ecg_embeds = self(ecg)
        return logits, ecg_embeds @ self.embed_prompts(prompts).T

    @torch.no_grad()
    def embed_prompts(self, prompts: Mapping[str, Sequence[str]]) -> Tensor:
        """Return the mean embedding of each finding's prompts, (P, E)."""
        rows = []
        for texts in prompts.values():
            words = self.tokenizer(list(texts), padding=True, return_tensors="pt")
            rows.append(self.clip.embed_text(words["input_ids"], words["attention_mask"]).mean(0))
        return torch.stack(rows)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `clip/` with its tokenizer, the head (safetensors) and the findings' names."""
        folder = Path(folder)
        self.clip.save_pretrained(folder / "clip")
        self.tokenizer.save_pretrained(str(folder / "clip"))
        head = {k: v.contiguous() for k, v in self.head.state_dict().items()}
        save_file(head, str(folder / "head.safetensors"))
        (folder / "findings.json").write_text(json.dumps(self.findings, indent=1) + "\n")

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> FindingsAndText:
        """Load what `save_pretrained` wrote, in evaluation mode."""
        folder = Path(folder)
        findings = json.loads((folder / "findings.json").read_text())
        tokenizer = AutoTokenizer.from_pretrained(str(folder / "clip"))
        model = cls(EcgClip.from_pretrained(folder / "clip"), tokenizer, findings)
        model.head.load_state_dict(load_file(str(folder / "head.safetensors")))
        return model.eval()


@dataclass(frozen=True, kw_only=True)
class Settings(ClipSettings):
    """Hyperparameters; their values and reasons are in `conf/objective/findings_and_text.yaml`."""

    ecgs: int  # simulated ECGs per seed, each seen once
    optimizer: str  # adamw or muon
    average: float  # final share of the steps whose weights are averaged; above 0: constant rate
    whole: float  # share of texts that are a whole report; the others are one statement from it
    text_weight: float  # weight of the contrastive loss; the head's loss has weight 1
    smoothing: float  # label smoothing of the findings' 0 and 1

    def __post_init__(self):
        if self.optimizer not in ("adamw", "muon"):
            raise ConfigError(f"optimizer is {self.optimizer!r}; choose adamw or muon")
        if not 0 <= self.average <= 1:
            raise ConfigError("average must lie between 0 and 1")


class Objective(BaseObjective):
    """Findings by the head and statements by contrast, on new ECGs in every step."""

    settings: Settings

    def __init__(self, encoder: EcgEncoder, settings: Settings, given: Given):
        super().__init__(encoder, settings, given)
        self.ecgs = FreshEcgs(given.seed, settings.batch_size)
        batches = -(-min(_TOKEN_REPORTS, settings.ecgs) // settings.batch_size)
        others = FreshEcgs(given.seed + 1, settings.batch_size)
        drafts = (draft for step in range(1, 1 + batches) for draft in others.drafts(step))
        clip, tokenizer = build_clip(encoder, settings, given, [d.report for d in drafts])
        self.model = FindingsAndText(clip, tokenizer, list(transfer_findings()["finding"]))
        self.steps = max(1, settings.ecgs // settings.batch_size)

    def rows(self) -> tuple[list[dict], list[dict]]:
        """Return one row per step, since a row stands for a whole batch; none for validation."""
        return [{"step": k} for k in range(self.steps)], []

    def schedule(self, rows: int) -> Schedule:
        """Return a schedule of one epoch in which each row is a batch."""
        return Schedule.of(self.settings, epochs=1, batch_size=1, clip_norm=1.0)

    def optimizer(self) -> torch.optim.Optimizer | None:
        """Return Muon if the settings ask for it, else None for AdamW."""
        if self.settings.optimizer == "adamw":
            return None
        embeddings = tuple(m for m in self.modules() if isinstance(m, nn.Embedding))
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        return MuonAdamW(self, embeddings, rate, decay)

    def collate(self, rows: Sequence[dict]) -> dict[str, Any]:
        """Simulate, augment and normalise the ECGs of one step, and draw a text for each."""
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
        """Return the sum of the head's loss and the weighted contrastive loss.

        Parameters
        ----------
        ecg : (B, L, T) float32, normalised
        targets : (B, F) float32
            Findings, 0 or 1.
        input_ids, attention_mask : (B, L) int64
            The tokenized texts.
        texts, reports : sequences of B str
            A text for each ECG, and the ECG's whole report.
        """
        smoothing, clip = self.settings.smoothing, self.model.clip
        logits, ecgs = self.model(ecg)  # (B, F), (B, E)
        soft = targets * (1 - 2 * smoothing) + smoothing
        findings = F.binary_cross_entropy_with_logits(logits, soft)
        words = clip.embed_text(input_ids, attention_mask)  # (B, E)
        said = contrast(ecgs, words, clip.scale(), texts, reports)
        return ModelOutput(loss=findings + self.settings.text_weight * said, logits=logits)

    def finish(self) -> None:
        """Recompute the batch-norm statistics of averaged weights, on ECGs not seen before."""
        if self.settings.average:
            unseen = range(self.steps, self.steps + min(_RENEWING, self.steps))
            renew_batch_norm(self, (self.collate([{"step": k}]) for k in unseen))

    def save(self, folder: Path) -> None:
        """Write the model, with the encoder below `clip/`."""
        self.model.save_pretrained(folder)

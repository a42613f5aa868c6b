"""An encoder with its two readings: a supervised head, and text by contrast."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoTokenizer
from transformers.utils import ModelOutput

from ecg_lib.objectives.parts.clip import MAX_SCALE, EcgClip, clip_loss
from ecg_lib.objectives.parts.finding_head import FindingHead

SMOOTHING = 0.02  # of the findings: labels of real ECGs are not certain either


class EcgReader(nn.Module):
    """`EcgClip` and a `FindingHead` on one ECG encoder.

    Parameters
    ----------
    clip : encoder, text encoder and their projections
    tokenizer : of the text encoder
    findings : names of the head's outputs
    text_weight : of the contrastive loss beside the head's
    """

    def __init__(self, clip: EcgClip, tokenizer, findings: Sequence[str], text_weight: float = 0.3):
        super().__init__()
        self.clip, self.tokenizer, self.findings = clip, tokenizer, list(findings)
        self.head = FindingHead(clip.ecg_encoder.config.width, len(self.findings))
        self.text_weight = text_weight

    def forward(
        self,
        ecg: Tensor,
        targets: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        positives: Tensor,
        **_,
    ) -> ModelOutput:
        """Loss of both readings.

        Parameters
        ----------
        ecg : (B, 12, T), normalised
        targets : (B, F), 0 or 1
        input_ids, attention_mask : (B, L), a text for each ECG
        positives : (B, B) bool, text j is true of ECG i
        """
        clip = self.clip
        encoded = clip.ecg_encoder(ecg)
        logits = self.head(encoded)  # (B, F)
        soft = targets * (1 - 2 * SMOOTHING) + SMOOTHING
        findings = F.binary_cross_entropy_with_logits(logits, soft)
        ecg_embeds = F.normalize(clip.ecg_projection(encoded.cls), dim=-1)  # (B, E)
        text_embeds = clip.embed_text(input_ids, attention_mask)  # (B, E)
        scale = clip.log_scale.clamp(max=MAX_SCALE).exp()
        contrast = clip_loss(ecg_embeds, text_embeds, scale, positives=positives)
        return ModelOutput(loss=findings + self.text_weight * contrast, logits=logits)

    @torch.no_grad()
    def read(self, ecg: Tensor, prompts: Mapping[str, Sequence[str]]) -> tuple[Tensor, Tensor]:
        """Logits of the head (B, F) and cosine to the mean of each finding's prompts (B, P)."""
        clip = self.clip
        encoded = clip.ecg_encoder(ecg)
        ecg_embeds = F.normalize(clip.ecg_projection(encoded.cls), dim=-1)
        return self.head(encoded), ecg_embeds @ self.embed_prompts(prompts).T

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
    def from_pretrained(cls, folder: str | Path) -> EcgReader:
        """Load what `save_pretrained` wrote; ready for evaluation."""
        folder = Path(folder)
        findings = json.loads((folder / "findings.json").read_text())
        tokenizer = AutoTokenizer.from_pretrained(str(folder / "clip"))
        reader = cls(EcgClip.from_pretrained(folder / "clip"), tokenizer, findings)
        reader.head.load_state_dict(load_file(str(folder / "head.safetensors")))
        return reader.eval()

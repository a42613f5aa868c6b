"""Contrastive pretraining of ECGs against reports, as CLIP does with images and captions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.utils import ModelOutput

from ecg_lib import encoders
from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.encoders.text_encoder import TextEncoder

_ENCODERS = ("ecg_encoder.", "text_encoder.")
MAX_SCALE = math.log(100)  # CLIP clips its learnable temperature here (Radford et al. 2021)


@dataclass
class ClipOutput(ModelOutput):
    loss: Tensor | None = None
    ecg_embeds: Tensor | None = None  # (B, E), unit length
    text_embeds: Tensor | None = None  # (B, E), unit length


def clip_loss(
    ecg: Tensor,
    text: Tensor,
    scale: Tensor,
    same: Tensor | None = None,
    positives: Tensor | None = None,
) -> Tensor:
    """Symmetric cross-entropy over cosine similarities.

    Parameters
    ----------
    ecg, text : (B, E) unit vectors, row i of one belongs to row i of the other.
    scale : scalar, inverse temperature.
    same : (B, B) bool, optional. Pairs i != j whose reports are word for word the same: they are
        left out of the negatives, because a normal ECG must not be pushed from "normal ECG".
    positives : (B, B) bool, optional. Text j is true of ECG i: the target of a row (column) is
        spread evenly over its positives. Its diagonal must be true.
    """
    logits = scale * ecg @ text.T  # (B, B)
    if positives is not None:
        share = positives.to(logits.dtype)
        rows = (share / share.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1)
        columns = (share / share.sum(0, keepdim=True) * logits.log_softmax(0)).sum(0)
        return -(rows.mean() + columns.mean()) / 2
    if same is not None:
        off_diagonal = same & ~torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        logits = logits.masked_fill(off_diagonal, float("-inf"))
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


class EcgClip(nn.Module):
    """An ECG encoder and a text encoder, each projected linearly to one space."""

    def __init__(
        self,
        ecg_encoder: EcgEncoder,
        text_encoder: TextEncoder,
        width: int,
        temperature: float = 0.07,
        train_text: bool = True,
    ):
        super().__init__()
        self.ecg_encoder, self.text_encoder = ecg_encoder, text_encoder
        self.ecg_projection = nn.Linear(ecg_encoder.config.width, width, bias=False)
        self.text_projection = nn.Linear(text_encoder.width, width, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / temperature)))
        self.text_encoder.requires_grad_(train_text)

    def embed_ecg(self, ecg: Tensor) -> Tensor:
        """(B, 12, T) normalised ECGs -> (B, E) unit vectors."""
        return F.normalize(self.ecg_projection(self.ecg_encoder(ecg).cls), dim=-1)

    def embed_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, L) token ids -> (B, E) unit vectors."""
        text = self.text_encoder(input_ids, attention_mask)
        return F.normalize(self.text_projection(text), dim=-1)

    def forward(
        self,
        ecg: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        text_id: Tensor | None = None,
        positives: Tensor | None = None,
        **_,
    ) -> ClipOutput:
        """`text_id` (B,) numbers distinct reports, so that equal reports are not negatives.

        `positives` (B, B): which texts are true of which ECGs, see `clip_loss`.
        """
        ecg_embeds = self.embed_ecg(ecg)
        text_embeds = self.embed_text(input_ids, attention_mask)
        same = None if text_id is None else text_id[:, None] == text_id[None, :]
        scale = self.log_scale.clamp(max=MAX_SCALE).exp()
        loss = clip_loss(ecg_embeds, text_embeds, scale, same, positives)
        return ClipOutput(loss=loss, ecg_embeds=ecg_embeds, text_embeds=text_embeds)

    def save_pretrained(self, folder: str | Path) -> None:
        """Both encoders as transformers saves them, and the two projections (safetensors)."""
        folder = Path(folder)
        self.ecg_encoder.save_pretrained(folder / "ecg_encoder")
        self.text_encoder.backbone.save_pretrained(folder / "text_encoder")
        own = {k: v for k, v in self.state_dict().items() if not k.startswith(_ENCODERS)}
        save_file(own, str(folder / "projections.safetensors"))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> EcgClip:
        """Load what `save_pretrained` wrote; ready for evaluation."""
        folder = Path(folder)
        own = load_file(str(folder / "projections.safetensors"))
        encoder = encoders.load(folder / "ecg_encoder")
        text = TextEncoder.from_pretrained(str(folder / "text_encoder"))
        clip = cls(encoder, text, width=own["ecg_projection.weight"].shape[0])
        missing = clip.load_state_dict(own, strict=False).missing_keys
        if any(not key.startswith(_ENCODERS) for key in missing):
            raise ValueError(f"{folder}/projections.safetensors lacks {missing}")
        return clip.eval()

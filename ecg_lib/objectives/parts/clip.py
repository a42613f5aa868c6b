"""ECGs and texts in one space, as CLIP has images and captions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from ecg_lib import encoders
from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.encoders.text_encoder import TextEncoder

_ENCODERS = ("ecg_encoder.", "text_encoder.")
MAX_SCALE = math.log(100)  # CLIP clips its learnable temperature here (Radford et al. 2021)


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

    def scale(self) -> Tensor:
        """What cosines are multiplied by: the inverse of the learnt temperature."""
        return self.log_scale.clamp(max=MAX_SCALE).exp()

    @torch.no_grad()
    def set_temperature(self, temperature: float) -> None:
        """Let training begin at a temperature again."""
        self.log_scale.fill_(math.log(1 / temperature))

    def embed_ecg(self, ecg: Tensor) -> Tensor:
        """(B, 12, T) normalised ECGs -> (B, E) unit vectors."""
        return F.normalize(self.ecg_projection(self.ecg_encoder(ecg).cls), dim=-1)

    def embed_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, L) token ids -> (B, E) unit vectors."""
        text = self.text_encoder(input_ids, attention_mask)
        return F.normalize(self.text_projection(text), dim=-1)

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


class PretrainedClip(NamedTuple):
    """A CLIP, to go on with or to ask, and the tokenizer of its text encoder."""

    clip: EcgClip
    tokenizer: Any

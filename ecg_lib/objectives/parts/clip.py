"""CLIP for ECGs: an ECG encoder and a text encoder with one shared embedding space."""

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
    """An ECG encoder and a text encoder, each projected linearly to a shared space.

    Parameters
    ----------
    ecg_encoder : EcgEncoder
    text_encoder : TextEncoder
    width : int
        Dimension E of the shared space.
    temperature : float
        Initial temperature; it is learnt.
    train_text : bool
        Whether the text encoder is trained; its projection always is.
    """

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
        """Return the factor of the cosines: the inverse of the learnt temperature, at most 100."""
        return self.log_scale.clamp(max=MAX_SCALE).exp()

    @torch.no_grad()
    def set_temperature(self, temperature: float) -> None:
        """Reset the temperature, for further training."""
        self.log_scale.fill_(math.log(1 / temperature))

    def embed_ecg(self, ecg: Tensor) -> Tensor:
        """Map normalised ECGs (B, L, T) to unit vectors (B, E)."""
        return F.normalize(self.ecg_projection(self.ecg_encoder(ecg).cls), dim=-1)

    def embed_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Map token ids (B, L) to unit vectors (B, E)."""
        text = self.text_encoder(input_ids, attention_mask)
        return F.normalize(self.text_projection(text), dim=-1)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write both encoders as transformers saves them, and the projections (safetensors)."""
        folder = Path(folder)
        self.ecg_encoder.save_pretrained(folder / "ecg_encoder")
        self.text_encoder.backbone.save_pretrained(folder / "text_encoder")
        own = {k: v for k, v in self.state_dict().items() if not k.startswith(_ENCODERS)}
        save_file(own, str(folder / "projections.safetensors"))

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> EcgClip:
        """Load what `save_pretrained` wrote, in evaluation mode.

        Raises
        ------
        DataError
            The ECG encoder is missing.
        ValueError
            A projection or the temperature is missing.
        """
        folder = Path(folder)
        own = load_file(str(folder / "projections.safetensors"))
        encoder = encoders.load(folder / "ecg_encoder")
        text = TextEncoder.from_pretrained(str(folder / "text_encoder"))
        clip = cls(encoder, text, width=own["ecg_projection.weight"].shape[0])
        missing = clip.load_state_dict(own, strict=False).missing_keys
        if any(not key.startswith(_ENCODERS) for key in missing):
            raise ValueError(
                f"{folder}/projections.safetensors lacks {missing}; save the CLIP again"
            )
        return clip.eval()


class PretrainedClip(NamedTuple):
    """A trained or untrained CLIP and the tokenizer of its text encoder."""

    clip: EcgClip
    tokenizer: Any

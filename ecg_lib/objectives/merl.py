"""MERL: ECGs contrasted with their reports, and two views of each ECG with each other.

Liu et al., "Zero-Shot ECG Classification with Multimodal Learning and Test-time Clinical Knowledge
Enhancement", ICML 2024. As a control for K-MERL, a linear head may learn the same entities, and
leads may be masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from ecg_lib.objectives.objective import Given
from ecg_lib.objectives.parts.contrast_forms import contrast_loss
from ecg_lib.objectives.parts.gather import gathered
from ecg_lib.objectives.parts.merl_clip import EntityReading
from ecg_lib.objectives.parts.merl_parts import MerlParts, MerlSettings
from ecg_lib.objectives.parts.uni_modal import UniModalViews

if TYPE_CHECKING:
    from ecg_lib.encoders.base import EcgEncoder, EncoderOutput


@dataclass(frozen=True, kw_only=True)
class Settings(MerlSettings):
    """Hyperparameters; `conf/objective/merl.yaml` gives their values and where they come from."""

    uni_modal_weight: float  # 0 leaves the part out
    view_dropout: float  # of the two views

    def weights(self) -> dict[str, float]:
        """Return the weight of each part of the loss."""
        return {**super().weights(), "uni_modal": self.uni_modal_weight}


class Objective(MerlParts):
    """Contrast with reports and between views; entities, if wanted, by a linear head."""

    settings: Settings

    def __init__(self, encoder: EcgEncoder, settings: Settings, given: Given):
        super().__init__(encoder, settings, given)
        if settings.uni_modal_weight:
            width = encoder.config.width
            self.views = UniModalViews(width, settings.width, settings.view_dropout)

    def reading(self, names: Sequence[str]) -> EntityReading:
        """Return a linear head on the pooled vector."""
        return EntityReading(names=tuple(names))

    def parts(
        self, encoded: EncoderOutput, reports: Sequence[str], targets: Tensor
    ) -> dict[str, Tensor]:
        """Return the shared parts, and the contrast between the views of each ECG."""
        parts = super().parts(encoded, reports, targets)
        if self.settings.uni_modal_weight:
            one, other = map(gathered, self.views(encoded.cls))
            parts["uni_modal"] = contrast_loss(one, other, self.clip.scale())
        return parts

"""The contract of an ECG encoder: what it reads, what it returns, how it is saved.

A new encoder is one file: a config, a model, and their registration with transformers' Auto
classes. `stem_vit.py` is the example; `tests/encoders/test_encoder_contract.py` holds every file
to this contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from ecg_lib.signal.leads import LEADS
from ecg_lib.signal.normalise import METHODS, normalise


@dataclass(frozen=True)
class EcgInput:
    """The signal that an encoder reads; it is saved in the encoder's config.

    Raises
    ------
    ValueError
        A lead or the normalisation is unknown, or there would be no sample.
    """

    rate: int = 100  # Hz
    seconds: float = 10
    leads: tuple[str, ...] = LEADS  # in this order
    normalisation: str = "lead_minmax"

    def __post_init__(self) -> None:
        object.__setattr__(self, "leads", tuple(self.leads))  # JSON has lists only
        unknown = [lead for lead in self.leads if lead not in LEADS]
        if unknown or not self.leads or len(set(self.leads)) < len(self.leads):
            raise ValueError(
                f"leads are {', '.join(self.leads) or 'none'}; name each once: {', '.join(LEADS)}"
            )
        if self.normalisation not in METHODS:
            raise ValueError(
                f"normalisation is {self.normalisation!r}; choose {', '.join(METHODS)}"
            )
        if self.samples < 1:
            raise ValueError(f"{self.seconds:g} s at {self.rate} Hz hold no sample")

    @property
    def samples(self) -> int:
        """Samples per lead, T."""
        return round(self.rate * self.seconds)

    @property
    def shape(self) -> tuple[int, int]:
        """Leads and samples of one ECG, (L, T)."""
        return len(self.leads), self.samples

    def prepare(self, signals_mv: np.ndarray) -> np.ndarray:
        """(E, 12, T) mV in the order of LEADS -> (E, L, T) float32, normalised.

        Raises
        ------
        ValueError
            The signals are of another length: of another rate, or too short.
        """
        if signals_mv.shape[-1] != self.samples:
            raise ValueError(
                f"an ECG of {signals_mv.shape[-1]} samples, but the encoder reads {self.samples} "
                f"({self.seconds:g} s at {self.rate} Hz); resample it, or use another encoder"
            )
        if self.leads != LEADS:
            signals_mv = signals_mv[..., [LEADS.index(lead) for lead in self.leads], :]
        return normalise(signals_mv, self.normalisation)


class EcgEncoderConfig(PreTrainedConfig):
    """Base of the encoders' configs.

    A subclass has its settings as keywords of `__init__`, each with a default, and passes
    `ecg_input` and further keywords on. It has two more attributes: `tokens`, the number n of
    tokens per ECG without [CLS], and `width`, their size D. Its `model_type` is its file's name.
    An impossible setting raises a `ValueError` of one line that begins with the setting.

    Raises
    ------
    TypeError
        A field of `EcgInput` stands beside `ecg_input`, where transformers would pass over it.
    """

    def __init__(self, ecg_input: EcgInput | Mapping[str, Any] | None = None, **kwargs):
        kwargs.pop("module", None)  # written by `to_dict`, read by `encoders.load`
        if misplaced := {field.name for field in fields(EcgInput)} & set(kwargs):
            raise TypeError(f"{min(misplaced)} belongs into ecg_input=EcgInput(...)")
        if not isinstance(ecg_input, EcgInput):
            ecg_input = EcgInput(**(ecg_input or {}))
        self.ecg_input = ecg_input
        super().__init__(**kwargs)

    def _own(self) -> dict[str, Any]:
        return {
            "ecg_input": asdict(self.ecg_input) | {"leads": list(self.ecg_input.leads)},
            "module": type(self).__module__,
        }

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it, with the module in which the encoder is defined."""
        return super().to_dict() | self._own()

    def to_diff_dict(self) -> dict[str, Any]:
        """What differs from the defaults, and always what the encoder reads."""
        return super().to_diff_dict() | self._own()


@dataclass
class EncoderOutput(ModelOutput):
    """What an encoder returns; without a mask every token counts."""

    tokens: Tensor | None = None  # (B, n, D)
    cls: Tensor | None = None  # (B, D), a vector for the whole ECG
    token_mask: Tensor | None = None  # (B, n) bool, true where a token counts


class EcgEncoder(PreTrainedModel):
    """Base of the encoders; a subclass sets `config_class` and defines `forward`."""

    config_class = EcgEncoderConfig
    main_input_name = "ecg"

    def _init_weights(self, module: nn.Module) -> None:
        """Keep PyTorch's defaults: they suit convolutions and pre-LN blocks."""

    def forward(self, ecg: Tensor, lead_mask: Tensor | None = None) -> EncoderOutput:
        """Encode ECGs.

        Parameters
        ----------
        ecg : (B, L, T), prepared as `config.ecg_input` says
        lead_mask : (B, L) bool, true where a lead was recorded; None: all were
        """
        raise NotImplementedError(f"{type(self).__name__} defines no forward")


def without_absent(ecg: Tensor, lead_mask: Tensor | None) -> Tensor:
    """(B, L, T) with absent leads at 0, which is what normalisation makes of a flat lead."""
    return ecg if lead_mask is None else ecg.masked_fill(~lead_mask[..., None], 0)

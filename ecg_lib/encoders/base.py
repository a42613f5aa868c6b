"""The contract of an ECG encoder: what it reads, what it returns and how it is saved.

A new encoder is one file: a config, a model, and their registration with transformers' Auto
classes. `stem_vit.py` is an example. `tests/encoders/test_encoder_contract.py` checks every
encoder file against this contract.
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
    """The signal that an encoder reads, saved in the encoder's config.

    Parameters
    ----------
    rate : int
        Sampling rate in Hz.
    seconds : float
        Duration in s.
    leads : tuple of str
        Names of the leads, in the order in which the encoder reads them.
    normalisation : str
        One of `ecg_lib.signal.normalise.METHODS`.

    Raises
    ------
    ValueError
        A lead is unknown or repeated, no lead is named, the normalisation is unknown, or the
        signal would hold no sample.
    """

    rate: int = 100
    seconds: float = 10
    leads: tuple[str, ...] = LEADS
    normalisation: str = "lead_minmax"

    def __post_init__(self) -> None:
        object.__setattr__(self, "leads", tuple(self.leads))  # JSON has no tuples
        unknown = [lead for lead in self.leads if lead not in LEADS]
        if unknown or not self.leads or len(set(self.leads)) < len(self.leads):
            raise ValueError(
                f"leads are {', '.join(self.leads) or 'none'}; give each at most once, "
                f"from {', '.join(LEADS)}"
            )
        if self.normalisation not in METHODS:
            raise ValueError(
                f"normalisation is {self.normalisation!r}; choose {', '.join(METHODS)}"
            )
        if self.samples < 1:
            raise ValueError(
                f"{self.seconds:g} s at {self.rate} Hz hold no sample; raise seconds or rate"
            )

    @property
    def samples(self) -> int:
        """Number of samples per lead, T."""
        return round(self.rate * self.seconds)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of one ECG: leads and samples, (L, T)."""
        return len(self.leads), self.samples

    def prepare(self, signals_mv: np.ndarray) -> np.ndarray:
        """Select the leads that the encoder reads and normalise them.

        Parameters
        ----------
        signals_mv : (E, 12, T) array, mV
            ECGs with their leads in the order of `LEADS`.

        Returns
        -------
        (E, L, T) float32 array, normalised

        Raises
        ------
        ValueError
            The signals do not have `samples` samples: they have another rate or duration.
        """
        if signals_mv.shape[-1] != self.samples:
            raise ValueError(
                f"an ECG has {signals_mv.shape[-1]} samples, but the encoder reads {self.samples} "
                f"({self.seconds:g} s at {self.rate} Hz); resample it, or use another encoder"
            )
        if self.leads != LEADS:
            signals_mv = signals_mv[..., [LEADS.index(lead) for lead in self.leads], :]
        return normalise(signals_mv, self.normalisation)


class EcgEncoderConfig(PreTrainedConfig):
    """Base class of the encoders' configs.

    A subclass takes its settings as keyword arguments of `__init__`, each with a default, and
    passes `ecg_input` and all other keyword arguments on. It must also have the attributes
    `tokens`, the number n of tokens per ECG without [CLS], and `width`, their size D. Its
    `model_type` is the name of its file. An impossible setting raises a one-line `ValueError` that
    begins with the name of the setting.

    Raises
    ------
    TypeError
        A field of `EcgInput` was passed directly instead of inside `ecg_input`; transformers would
        ignore it.
    """

    def __init__(self, ecg_input: EcgInput | Mapping[str, Any] | None = None, **kwargs):
        kwargs.pop("module", None)  # written by `to_dict` for `encoders.load`
        if misplaced := {field.name for field in fields(EcgInput)} & set(kwargs):
            raise TypeError(f"{min(misplaced)} must be passed inside ecg_input=EcgInput(...)")
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
        """Return the config as JSON can hold it, with the module that defines the encoder."""
        return super().to_dict() | self._own()

    def to_diff_dict(self) -> dict[str, Any]:
        """Return the settings that differ from the defaults, always with the encoder's input."""
        return super().to_diff_dict() | self._own()


@dataclass
class EncoderOutput(ModelOutput):
    """The output of an encoder; without a mask every token is valid."""

    tokens: Tensor | None = None  # (B, n, D)
    cls: Tensor | None = None  # (B, D), one vector for the whole ECG
    token_mask: Tensor | None = None  # (B, n) bool, true where a token is valid


class EcgEncoder(PreTrainedModel):
    """Base class of the encoders; a subclass sets `config_class` and defines `forward`."""

    config_class: type[EcgEncoderConfig] = EcgEncoderConfig
    main_input_name = "ecg"

    def _init_weights(self, module: nn.Module) -> None:
        """Keep PyTorch's defaults: they suit convolutions and pre-LN blocks."""

    def forward(self, ecg: Tensor, lead_mask: Tensor | None = None) -> EncoderOutput:
        """Encode ECGs.

        Parameters
        ----------
        ecg : (B, L, T) float32
            ECGs prepared by `config.ecg_input.prepare`.
        lead_mask : (B, L) bool, optional
            True where a lead was recorded; None means that all leads were.
        """
        raise NotImplementedError(f"{type(self).__name__} must define forward")


def without_absent(ecg: Tensor, lead_mask: Tensor | None) -> Tensor:
    """Set absent leads of ECGs (B, L, T) to 0, the value that normalisation gives a flat lead."""
    return ecg if lead_mask is None else ecg.masked_fill(~lead_mask[..., None], 0)

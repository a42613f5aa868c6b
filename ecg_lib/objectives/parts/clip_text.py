"""The text side of contrastive pretraining: building a CLIP, its tokenizer, pieces of reports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import AutoTokenizer

from ecg_lib.encoders.text_encoder import TextEncoder, small_bert, train_report_tokens
from ecg_lib.errors import ConfigError
from ecg_lib.objectives.objective import BaseSettings, Given
from ecg_lib.objectives.parts.clip import EcgClip, PretrainedClip

if TYPE_CHECKING:
    from ecg_lib.config import TextEncoder as TextSettings
    from ecg_lib.encoders.base import EcgEncoder

_STATEMENT = re.compile(r"[.;]\s+|,\s+(?=\w{4})")


@dataclass(frozen=True, kw_only=True)
class ClipSettings(BaseSettings):
    """Further hyperparameters of every objective that contrasts ECGs with texts."""

    width: int  # dimension of the space that ECGs and texts share
    temperature: float | None  # initial; null: that of the CLIP whose training is continued


def build_clip(
    encoder: EcgEncoder, settings: ClipSettings, given: Given, texts: Iterable[str]
) -> PretrainedClip:
    """Return the CLIP of `given.start`, or build an untrained one around the encoder.

    Parameters
    ----------
    encoder : EcgEncoder
        The ECG encoder; ignored if `given.start` is set.
    settings : ClipSettings
    given : Given
    texts : iterable of str
        Texts on which a tokenizer is trained if there is none yet.

    Raises
    ------
    ConfigError
        `given.start` has another width, or there is no `given.start` and no temperature.
    """
    if given.start:
        clip, width = given.start.clip, given.start.clip.ecg_projection.out_features
        if settings.width != width:
            raise ConfigError(
                f"objective.width is {settings.width}, but it starts from a CLIP of width {width}; "
                f"set objective.width={width}"
            )
        clip.text_encoder.requires_grad_(given.text.trainable)
        if settings.temperature is not None:
            clip.set_temperature(settings.temperature)
        return given.start
    if settings.temperature is None:
        raise ConfigError(
            "objective.temperature is null, but there is no CLIP to start from; give a temperature"
        )
    text_encoder, tokenizer = build_text(given.text, texts)
    clip = EcgClip(
        encoder, text_encoder, settings.width, settings.temperature, given.text.trainable
    )
    return PretrainedClip(clip, tokenizer)


def build_text(text: TextSettings, texts: Iterable[str]) -> tuple[TextEncoder, object]:
    """Load a pretrained text encoder and its tokenizer, or build a small untrained one.

    Parameters
    ----------
    text : TextSettings
        Sizes of the text encoder, or the name of a pretrained one.
    texts : iterable of str
        Texts on which a tokenizer is trained if no pretrained one is named.
    """
    if text.name_or_path:
        tokenizer = AutoTokenizer.from_pretrained(text.name_or_path)
        return TextEncoder.from_pretrained(text.name_or_path), tokenizer
    tokenizer = train_report_tokens(texts, text.vocabulary)
    bert = small_bert(len(tokenizer), text.width, text.depth, text.heads, text.max_tokens)
    return TextEncoder(bert), tokenizer


def tokenised(tokenizer, texts: Sequence[str], max_tokens: int) -> dict[str, Tensor]:
    """Tokenize texts: `input_ids` and `attention_mask`, both (B, L)."""
    words = tokenizer(
        list(texts), truncation=True, padding=True, max_length=max_tokens, return_tensors="pt"
    )
    return {"input_ids": words["input_ids"], "attention_mask": words["attention_mask"]}


def a_statement(report: str, whole: float, generator: torch.Generator) -> str:
    """Draw one statement of a report, or all of it with probability `whole`."""
    if torch.rand((), generator=generator) < whole:
        return report
    pieces = [piece for piece in _STATEMENT.split(report.rstrip(".")) if piece]
    return pieces[int(torch.randint(len(pieces), (), generator=generator))] if pieces else report

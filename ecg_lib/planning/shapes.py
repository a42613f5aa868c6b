"""The models of a profile without weights, on PyTorch's meta device, so any size builds at once."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from tokenizers import Tokenizer, models
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from ecg_lib import encoders
from ecg_lib.ecg_llm import finetune
from ecg_lib.ecg_llm.frozen_llm import embeddings_of
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.encoders.text_encoder import TextEncoder, small_bert
from ecg_lib.errors import ConfigError
from ecg_lib.objectives.parts.clip import EcgClip
from ecg_lib.tiny_llm.llama import tiny_llama

if TYPE_CHECKING:
    from ecg_lib.config import Config, Llm

_PUBLISHED = Path(__file__).resolve().with_name("published_models.yaml")


@cache
def published_models() -> dict[str, dict[str, Any]]:
    """Return the published sizes of models, by hub id."""
    return yaml.safe_load(_PUBLISHED.read_text(encoding="utf-8"))


def named_config(name: str) -> PreTrainedConfig:
    """Return a named model's configuration from the published sizes, a folder or the hub.

    Raises
    ------
    ConfigError
        None of the three knows the model, or the hub cannot be reached.
    """
    if name in published_models():
        return AutoConfig.for_model(**published_models()[name])
    try:
        return AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        known = ", ".join(sorted(published_models()))
        raise ConfigError(
            f"cannot read the sizes of {name!r}: it is no folder, and the hub gave no answer; "
            f"give a folder, or one of {known}"
        ) from error


def encoder_shape(config: Config) -> EcgEncoder:
    """Build the ECG encoder of a profile, without weights."""
    with torch.device("meta"):
        return encoders.build(config.encoder["name"], config.encoder, config.ecg_input())


def clip_shape(config: Config) -> EcgClip:
    """Build both encoders of contrastive pretraining and their projections, without weights."""
    text, encoder = config.text_encoder, encoder_shape(config)
    with torch.device("meta"):
        if text.name_or_path:
            named = named_config(text.name_or_path)
            pooled = text.pooling == "pooler" or named.model_type != "bert"
            unpooled = {} if pooled else {"add_pooling_layer": False}
            backbone = AutoModel.from_config(named, **unpooled)
        else:
            backbone = small_bert(
                text.vocabulary, text.width, text.depth, text.heads, text.max_tokens
            )
        width = config.objective["width"]
        return EcgClip(encoder, TextEncoder(backbone), width, train_text=text.trainable)


def llm_shape(settings: Llm) -> PreTrainedModel:
    """Build the causal LM of a profile, without weights."""
    with torch.device("meta"):
        if settings.name_or_path is None:
            lm = tiny_llama(
                _tokens(settings.vocabulary), settings.width, settings.depth, settings.heads
            )
        else:
            lm = AutoModelForCausalLM.from_config(named_config(settings.name_or_path))
    return lm.to(getattr(torch, settings.dtype))


def ecg_llm_shape(config: Config) -> EcgLlm:
    """Build the ECG-LLM with its adapters, without weights; what training changes is trainable."""
    encoder, lm = encoder_shape(config), llm_shape(config.llm)
    with torch.device("meta"):
        slot_id = len(embeddings_of(lm).weight)
        return EcgLlm.build(encoder, lm, slot_id, lora=finetune.adapters(config.lora))


def _tokens(vocabulary: int) -> PreTrainedTokenizerFast:
    """Build a placeholder tokenizer of a given size, for a model whose own is not trained yet."""
    words = {"<pad>": 0, "<s>": 1, "</s>": 2} | {str(i): i for i in range(3, vocabulary)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<pad>")),
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
    )

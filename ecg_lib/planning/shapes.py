"""The models of a profile without trained weights: of any size, at once, on torch's meta device.

On a real device their weights are random: what a benchmark needs.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml
from peft import LoraConfig
from tokenizers import Tokenizer, models
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from ecg_lib.config import Config, Llm
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.encoders.stem_vit import EcgEncoder, EcgEncoderConfig
from ecg_lib.encoders.text_encoder import TextEncoder, small_bert
from ecg_lib.errors import ConfigError
from ecg_lib.objectives.parts.clip import EcgClip
from ecg_lib.tiny_llm.llama import tiny_llama

_PUBLISHED = Path(__file__).resolve().with_name("published_models.yaml")


@cache
def published_models() -> dict[str, dict[str, Any]]:
    """Hub id -> the sizes its makers published."""
    return yaml.safe_load(_PUBLISHED.read_text(encoding="utf-8"))


def named_config(name: str) -> PreTrainedConfig:
    """Configuration of a named model: published sizes, a folder, or else the hub.

    Raises
    ------
    ConfigError
        It is none of the three, or the hub cannot be reached.
    """
    if name in published_models():
        return AutoConfig.for_model(**published_models()[name])
    try:
        return AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        known = ", ".join(sorted(published_models()))
        raise ConfigError(
            f"the sizes of {name!r} cannot be read (no such folder, and no answer "
            f"from the hub); give a folder, or one of {known}"
        ) from error


def encoder_shape(config: Config, device: str = "meta") -> EcgEncoder:
    """The ECG encoder of a profile, without weights."""
    sizes = config.encoder
    with torch.device(device):
        return EcgEncoder(
            EcgEncoderConfig(
                patch=sizes.patch,
                width=sizes.width,
                depth=sizes.depth,
                heads=sizes.heads,
                mlp=sizes.mlp,
                dropout=sizes.dropout,
                stem=sizes.stem,
            )
        )


def clip_shape(config: Config, device: str = "meta") -> EcgClip:
    """Both encoders of contrastive pretraining with their projections, without weights."""
    text, encoder = config.text_encoder, encoder_shape(config, device)
    with torch.device(device):
        if text.name_or_path:
            named = named_config(text.name_or_path)
            unpooled = {"add_pooling_layer": False} if named.model_type == "bert" else {}
            backbone = AutoModel.from_config(named, **unpooled)
        else:
            backbone = small_bert(
                text.vocabulary, text.width, text.depth, text.heads, text.max_tokens
            )
        width = config.objective["width"]
        return EcgClip(encoder, TextEncoder(backbone), width, train_text=text.trainable)


def llm_shape(settings: Llm, device: str = "meta") -> PreTrainedModel:
    """The causal LM of a profile, without weights."""
    with torch.device(device):
        if settings.name_or_path is None:
            lm = tiny_llama(
                _tokens(settings.vocabulary), settings.width, settings.depth, settings.heads
            )
        else:
            lm = AutoModelForCausalLM.from_config(named_config(settings.name_or_path))
    return lm.to(getattr(torch, settings.dtype))


def ecg_llm_shape(config: Config, device: str = "meta") -> EcgLlm:
    """The ECG-LLM with its adapters, without weights; trainable is what training changes."""
    lora = config.lora
    adapters = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        bias="none",
        target_modules=list(lora.target_modules),
        task_type="CAUSAL_LM",
    )
    encoder, lm = encoder_shape(config, device), llm_shape(config.llm, device)
    with torch.device(device):
        return EcgLlm.build(
            encoder, lm, slot_id=len(lm.get_input_embeddings().weight), lora=adapters
        )


def _tokens(vocabulary: int) -> PreTrainedTokenizerFast:
    """A tokenizer of so many words, for a model whose own is yet to be trained."""
    words = {"<pad>": 0, "<s>": 1, "</s>": 2} | {str(i): i for i in range(3, vocabulary)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<pad>")),
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
    )

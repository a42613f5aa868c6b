"""A pretrained text encoder that is used as it is, with a choice of pooling and a centre.

Vectors of sentences from a pretrained encoder share a large common part. Subtracting the mean
vector of the training reports, the centre, leaves what tells them apart.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from ecg_lib.encoders.text_encoder import TextEncoder
from ecg_lib.encoders.text_names import find_text_encoder
from ecg_lib.errors import ConfigError, DataError

MEAN, CLS, POOLER = POOLINGS = ("mean", "cls", "pooler")
_OWN = "sentence.safetensors"  # the centre; the pooling is in its metadata


class SentenceEncoder(TextEncoder):
    """A transformer that maps a text to one vector.

    Parameters
    ----------
    backbone : PreTrainedModel
        An encoder of transformers.
    pooling : str
        `mean`: average of the last hidden states over the tokens that are no padding; `cls`: the
        first of them; `pooler`: the model's own `pooler_output`.

    Raises
    ------
    ValueError
        There is no such pooling, or the model has no pooler.
    """

    centre: Tensor

    def __init__(self, backbone: PreTrainedModel, pooling: str = MEAN):
        super().__init__(backbone)
        if pooling not in POOLINGS:
            raise ValueError(f"pooling is {pooling!r}; choose {', '.join(POOLINGS)}")
        if pooling == POOLER and getattr(backbone, "pooler", None) is None:
            raise ValueError(
                f"pooling is {POOLER}, but {type(backbone).__name__} has none; choose {MEAN} or "
                f"{CLS}"
            )
        self.pooling = pooling
        self.register_buffer("centre", torch.zeros(self.width))  # (W,)

    def pooled(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encode texts without centring: token ids and mask (B, L) -> (B, W)."""
        if self.pooling == MEAN:
            return super().forward(input_ids, attention_mask)
        output = self.backbone(input_ids=input_ids, attention_mask=attention_mask)
        return output.pooler_output if self.pooling == POOLER else output.last_hidden_state[:, 0]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encode texts: token ids and mask (B, L) -> (B, W)."""
        return self.pooled(input_ids, attention_mask) - self.centre

    @torch.no_grad()
    def centre_on(self, vectors: Tensor) -> None:
        """Make the mean of some texts' vectors (N, W) the new origin.

        The vectors are those that this encoder returns now, so a second call with the same texts
        changes nothing.

        Raises
        ------
        ValueError
            There are no vectors, or they have another width.
        """
        if vectors.ndim != 2 or not len(vectors) or vectors.shape[1] != self.width:
            raise ValueError(f"centre: give vectors (N, {self.width}), not {tuple(vectors.shape)}")
        self.centre += vectors.double().mean(0).to(self.centre)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the encoder as transformers saves it, and pooling and centre (safetensors)."""
        self.backbone.save_pretrained(folder)
        own = {"centre": self.centre.contiguous()}
        save_file(own, str(Path(folder, _OWN)), metadata={"pooling": self.pooling})

    @classmethod
    def from_pretrained(cls, name_or_path: str, pooling: str | None = None) -> SentenceEncoder:
        """Load any encoder of transformers, or what `save_pretrained` wrote; frozen.

        Parameters
        ----------
        name_or_path : str
            A short name (`minilm`), a folder or a hub id.
        pooling : str, optional
            None: the one that the folder was saved with, or else `mean`.

        Raises
        ------
        DataError
            The short name is not fetched, transformers cannot load the model, or a weight is
            missing.
        ConfigError
            The pooling is unknown, or the model has no pooler.
        """
        name, named = find_text_encoder(name_or_path), f"text_encoder.name_or_path {name_or_path!r}"
        try:
            saved, centre = _saved(Path(name, _OWN))
            pooling = pooling or saved
            backbone, missing = _backbone(name, pooling == POOLER)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise DataError(
                f"{named} cannot be loaded ({_first_line(error)}); give a folder written by "
                "save_pretrained, or the hub id of an encoder"
            ) from error
        if missing:  # transformers has filled them with random numbers
            raise DataError(f"{named}: weights of {min(missing)} are missing; give another model")
        try:
            encoder = cls(backbone, pooling)
        except ValueError as error:
            raise ConfigError(f"text_encoder.{error}") from error
        if centre is not None and pooling == saved:  # a centre belongs to its pooling
            encoder.centre.copy_(centre)
        return encoder.eval().requires_grad_(False)


def load_sentence_encoder(
    name_or_path: str, pooling: str | None = None
) -> tuple[SentenceEncoder, PreTrainedTokenizerBase]:
    """Load a frozen text encoder and its tokenizer.

    Parameters
    ----------
    name_or_path, pooling
        As for `SentenceEncoder.from_pretrained`.

    Raises
    ------
    DataError, ConfigError
        As for `SentenceEncoder.from_pretrained`; also `DataError` if the tokenizer is missing or
        is not the model's.
    """
    encoder = SentenceEncoder.from_pretrained(name_or_path, pooling)
    named = f"text_encoder.name_or_path {name_or_path!r}"
    try:
        tokenizer = AutoTokenizer.from_pretrained(find_text_encoder(name_or_path))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{named}: its tokenizer cannot be loaded ({_first_line(error)}); save it into the "
            "same folder"
        ) from error
    rows: Any = encoder.backbone.get_input_embeddings().num_embeddings
    # Without its files transformers makes a tokenizer to which every word is unknown.
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens) or len(tokenizer) > rows:
        raise DataError(
            f"{named}: its tokenizer has {len(tokenizer):,} tokens, the model {rows:,}; save the "
            "model's own tokenizer into the same folder"
        )
    return encoder, tokenizer


def _backbone(name: str, pooler: bool) -> tuple[PreTrainedModel, list[str]]:
    """Load a model in float32, and name the weights that its files lack."""
    kind: Any = MODEL_MAPPING[type(AutoConfig.from_pretrained(name))]
    takes = "add_pooling_layer" in inspect.signature(kind.__init__).parameters
    choice = {"add_pooling_layer": pooler} if takes else {}
    level = logging.get_verbosity()
    logging.set_verbosity_error()  # else it prints a table about a pooler that nobody asked for
    try:
        model, loaded = AutoModel.from_pretrained(
            name, dtype=torch.float32, output_loading_info=True, **choice
        )
    finally:
        logging.set_verbosity(level)
    return model, sorted(loaded["missing_keys"])


def _saved(file: Path) -> tuple[str, Tensor | None]:
    """Read pooling and centre of a saved `SentenceEncoder`; others are pooled by the mean."""
    if not file.is_file():
        return MEAN, None
    with safe_open(str(file), "pt") as stored:
        return stored.metadata()["pooling"], stored.get_tensor("centre")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

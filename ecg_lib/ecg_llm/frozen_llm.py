"""A frozen causal language model and its tokenizer, from the hub or a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ecg_lib.ecg_llm.causal_lm import check_usable
from ecg_lib.ecg_llm.llm_names import find_llm
from ecg_lib.errors import DataError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel


class CausalLm(Protocol):
    """A causal LM of transformers, as far as answering uses it."""

    @property
    def device(self) -> torch.device:
        """The device of the weights."""

    def get_input_embeddings(self) -> Any:
        """Return the layer that embeds token ids."""

    def get_decoder(self) -> Any:
        """Return the layers below the output embeddings."""

    def get_output_embeddings(self) -> Any:
        """Return the layer that turns hidden states into logits."""

    def generate(self, **kwargs: Any) -> Any:
        """Continue prompts."""


def load_llm(name_or_path: str | Path, dtype: str = "float32"):
    """Load a causal LM and its tokenizer by hub id, folder or short name; freeze the model.

    Parameters
    ----------
    name_or_path : str or Path
    dtype : str
        A dtype of torch by name, e.g. "bfloat16".

    Returns
    -------
    model : PreTrainedModel
    tokenizer : PreTrainedTokenizerBase

    Raises
    ------
    DataError
        The name is neither a folder with a model nor a model that the hub provides, it is the
        short name of one that is not fetched, or its tokens or its architecture do not suit.
    """
    name = find_llm(name_or_path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = AutoModelForCausalLM.from_pretrained(name, dtype=getattr(torch, dtype))
    except (OSError, ValueError) as error:
        raise DataError(
            f"llm.name_or_path {name!r} cannot be loaded ({str(error).splitlines()[0]})"
            "; give a folder written by save_pretrained, or log in to the hub"
        ) from error
    check_usable(model.eval(), tokenizer)
    return model.requires_grad_(False), tokenizer


def embeddings_of(lm: PreTrainedModel) -> nn.Embedding:
    """Return the input embeddings of a language model; transformers only promises a module."""
    table: Any = lm.get_input_embeddings()
    return table


def beside(language_model: str, folder: Path) -> str:
    """Return the path of a language model relative to a saved model; it begins with a dot.

    No name on the hub begins with one, so the two can be told apart when the folder is missing.
    """
    relative = Path(os.path.relpath(language_model, folder)).as_posix()
    return relative if relative.startswith(".") else f"./{relative}"


def found_again(folder: Path, name: str) -> str:
    """Return the folder of a saved model's language model, or its name on the hub.

    Parameters
    ----------
    folder : Path
        The saved model.
    name : str
        As its config has it.

    Raises
    ------
    DataError
        The name is a folder that does not exist.
    """
    if (folder / name).is_dir():
        return str((folder / name).resolve())
    if name.startswith(".") or Path(name).is_absolute():
        raise DataError(
            f"{folder}: its language model {name} is not there; copy it too, or write its new "
            f"place as language_model in {folder / 'config.json'}"
        )
    return name

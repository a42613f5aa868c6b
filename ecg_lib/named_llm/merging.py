"""Saving of a reading adapter, and merging it into the language model that it belongs to."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import PeftModel

from ecg_lib.ecg_llm.frozen_llm import load_llm
from ecg_lib.errors import DataError

_CONFIG = "adapter_config.json"


def save_adapter(adapted: PeftModel, folder: Path, name: str) -> None:
    """Save the adapters of a model in bfloat16, small enough to be committed.

    Parameters
    ----------
    adapted : PeftModel
    folder : Path
    name : str
        The language model, as the profile names it; a path of this machine is of no use elsewhere.
    """
    adapted.peft_config["default"].base_model_name_or_path = name
    weights = {k: v.bfloat16() for k, v in adapted.state_dict().items() if "lora_" in k}
    adapted.save_pretrained(str(folder), state_dict=weights, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # a form to fill in


def merge(name: str, adapter: Path, dtype: str, folder: Path) -> None:
    """Merge a saved adapter into its language model; save model and tokenizer in `folder`.

    The sum is computed in float32 and rounded once, whether the adapter was trained here or not.

    Parameters
    ----------
    name : str
        The language model, by hub id or folder.
    adapter : Path
    dtype : str
        Of the saved weights, e.g. "bfloat16".
    folder : Path

    Raises
    ------
    DataError
        The folder holds no adapter, or one of another language model.
    """
    if not (adapter / _CONFIG).is_file():
        raise DataError(
            f"llm.reading_adapter {str(adapter)!r} holds no {_CONFIG}; give a folder that reading "
            "practice saved, or null"
        )
    model, tokenizer = load_llm(name)
    try:
        adapted = PeftModel.from_pretrained(model, str(adapter))
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(
            f"llm.reading_adapter {str(adapter)!r} does not fit {name!r} "
            f"({str(error).splitlines()[0]}); give the adapter of that language model, or null"
        ) from error
    merged = adapted.merge_and_unload()
    merged.to(getattr(torch, dtype)).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))

"""Conversion of a quantised GGUF file to a folder that transformers loads without further packages.

The weights are dequantised and saved in bfloat16. Its rounding is far finer than the four bits in
which they were stored, and the file is half as large as in float32.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from ecg_lib.errors import DataError


def convert(model: Path, folder: Path) -> None:
    """Write the weights (safetensors), the configuration and the tokenizer of a GGUF file.

    Parameters
    ----------
    model : Path
        The GGUF file.
    folder : Path
        An existing folder.

    Raises
    ------
    DataError
        The package gguf is not installed, or transformers cannot read the file.
    """
    if importlib.util.find_spec("gguf") is None:
        raise DataError(
            f"{model.name}: reading it needs the package gguf; install it with "
            "`pip install -c constraints.txt -e '.[gguf]'`"
        )
    place, name = str(model.parent), model.name
    whole = transformers.GgufConfig(dequantize=True)  # packed weights could not be saved or trained
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=name)
        lm = AutoModelForCausalLM.from_pretrained(
            place, gguf_file=name, quantization_config=whole, dtype=torch.float32
        )
    except (OSError, ValueError) as error:
        raise DataError(
            f"{name}: transformers cannot read it ({str(error).splitlines()[0]}); delete it and "
            "fetch it again"
        ) from error
    lm.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)

"""Saved encoders, whichever training wrote them: CLIP's folder, a reader's or an ECG-LLM's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from ecg_lib import encoders
from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.errors import DataError
from ecg_lib.objectives.parts.clip import EcgClip

_CLIP = "projections.safetensors"


def clip_folder(folder: str | Path) -> Path | None:
    """Where in a folder a saved CLIP lies: there, or one or two folders `clip` below."""
    for inner in (Path(folder), Path(folder) / "clip", Path(folder) / "clip" / "clip"):
        if (inner / _CLIP).is_file():
            return inner
    return None


def load_clip(folder: str | Path) -> tuple[EcgClip, Any]:
    """A saved CLIP and its tokenizer, alone or within a reader.

    Raises
    ------
    DataError
        The folder holds neither.
    """
    found = clip_folder(folder)
    if found is None:
        raise DataError(
            f"--model {folder}: no {_CLIP} there or in its folder clip; give what "
            "notebook 02 saved, e.g. checkpoints/demo/encoder/clip"
        )
    return EcgClip.from_pretrained(found), AutoTokenizer.from_pretrained(str(found))


def load_encoder(folder: str | Path) -> EcgEncoder:
    """The ECG encoder of a saved CLIP, reader or ECG-LLM, ready for evaluation.

    Raises
    ------
    DataError
        The folder holds none of them.
    """
    found = clip_folder(folder)
    inner = found / "ecg_encoder" if found else Path(folder) / "encoder"
    if not (inner / "config.json").is_file():
        raise DataError(
            f"--model {folder}: no saved encoder there; give the folder of a CLIP, of "
            "a reader or of an ECG-LLM, e.g. checkpoints/demo/encoder/clip"
        )
    return encoders.load(inner)

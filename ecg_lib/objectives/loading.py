"""Loading of encoders from any saved model: a CLIP, a findings-and-text reader or an ECG-LLM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from ecg_lib import encoders
from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.errors import DataError
from ecg_lib.objectives.parts.clip import EcgClip
from ecg_lib.sealed import checked

_CLIP = "projections.safetensors"
_CURE = "train it again"


def clip_folder(folder: str | Path) -> Path | None:
    """Return the folder of a saved CLIP: `folder` itself, `clip` or `clip/clip` in it, or None."""
    for inner in (Path(folder), Path(folder) / "clip", Path(folder) / "clip" / "clip"):
        if (inner / _CLIP).is_file():
            return inner
    return None


def load_clip(folder: str | Path) -> tuple[EcgClip, Any]:
    """Load a saved CLIP and its tokenizer; the CLIP may be part of a findings-and-text reader.

    Raises
    ------
    DataError
        The folder holds no CLIP.
    """
    found = clip_folder(folder)
    if found is None:
        raise DataError(
            f"--model {folder}: no {_CLIP} there or in its subfolder clip; give a "
            "CLIP saved by notebook 02, e.g. checkpoints/demo/encoder/clip"
        )
    checked(found, _CURE)
    return EcgClip.from_pretrained(found), AutoTokenizer.from_pretrained(str(found))


def load_encoder(folder: str | Path) -> EcgEncoder:
    """Load the ECG encoder of a saved CLIP, reader or ECG-LLM, in evaluation mode.

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
    return encoders.load(checked(inner, _CURE))

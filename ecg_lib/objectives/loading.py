"""Loading of encoders from any saved model: a CLIP, a findings-and-text reader or an ECG-LLM."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from ecg_lib import encoders
from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.errors import DataError
from ecg_lib.objectives.parts.clip import EcgClip
from ecg_lib.sealed import checked

_CLIP = "projections.safetensors"
_KIND = "clip.json"  # names the class of a CLIP that is not an `EcgClip` itself
_CURE = "train it again"


def clip_folder(folder: str | Path) -> Path | None:
    """Return the folder of a saved CLIP: `folder` itself, `clip` or `clip/clip` in it, or None."""
    for inner in (Path(folder), Path(folder) / "clip", Path(folder) / "clip" / "clip"):
        if (inner / _CLIP).is_file():
            return inner
    return None


def load_clip(folder: str | Path) -> tuple[EcgClip, Any]:
    """Load a saved CLIP and its tokenizer; the CLIP may be part of a findings-and-text reader.

    The folder's `clip.json` names the module and the class of the CLIP. That module is imported, so
    it must be installed. Without this file the CLIP is a plain `EcgClip`.

    Raises
    ------
    DataError
        The folder holds no CLIP, or its class cannot be found.
    """
    found = clip_folder(folder)
    if found is None:
        raise DataError(
            f"--model {folder}: no {_CLIP} there or in its subfolder clip; give a "
            "CLIP saved by notebook 02, e.g. checkpoints/demo/encoder/clip"
        )
    checked(found, _CURE)
    return _kind(found).from_pretrained(found), AutoTokenizer.from_pretrained(str(found))


def _kind(folder: Path) -> type[EcgClip]:
    """Return the class of a saved CLIP."""
    file = folder / _KIND
    if not file.is_file():
        return EcgClip
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        kind = getattr(import_module(told["module"]), told["class"])
    except (ValueError, KeyError, TypeError, ImportError, AttributeError) as error:
        raise DataError(
            f"{file}: names no class that can be imported ({error}); {_CURE}"
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, EcgClip)):
        raise DataError(f"{file}: {told['class']} is not a CLIP; {_CURE}")
    return kind


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

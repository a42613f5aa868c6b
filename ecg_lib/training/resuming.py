"""Checkpoints that a killed training left half-written, which must not be resumed from."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

from safetensors import SafetensorError, safe_open

_STATE = "trainer_state.json"  # the Trainer writes it last


def drop_broken(folder: Path) -> list[str]:
    """Delete the unfinished or unreadable checkpoints below a folder and return their names."""
    broken = [
        place for place in sorted(folder.rglob("checkpoint-*")) if place.is_dir() and _broken(place)
    ]
    for place in broken:
        shutil.rmtree(place)
    return [place.name for place in broken]


def _broken(checkpoint: Path) -> bool:
    """Return whether a file of a checkpoint is missing or cannot be read to its end."""
    try:
        state = json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))
        if f"checkpoint-{state['global_step']}" != checkpoint.name:
            return True
        for file in checkpoint.glob("*.safetensors"):
            with safe_open(str(file), "pt"):  # compares the header with the length of the file
                pass
        for file in (*checkpoint.glob("*.pt"), *checkpoint.glob("*.pth")):
            with zipfile.ZipFile(file) as archive:
                if archive.testzip():
                    return True
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, SafetensorError):
        return True
    return not list(checkpoint.glob("*.safetensors"))

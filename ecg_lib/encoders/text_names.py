"""Short names of text encoders that are fetched from a Python package, and their folders."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from ecg_lib import paths
from ecg_lib.errors import DataError
from ecg_lib.sealed import checked

FETCHED = MappingProxyType({"minilm": "make minilm"})  # short name -> command that fetches it


def find_text_encoder(name_or_path: str | Path) -> str:
    """Return the folder of a short name; a hub id or a folder stays as it is.

    Raises
    ------
    DataError
        The text encoder of the short name has not been fetched, or one of its files was altered.
    """
    name = str(name_or_path)
    if name not in FETCHED:
        return name
    folder = paths.checkpoints_dir("pretrained") / name
    if not folder.is_dir():
        raise DataError(
            f"text_encoder.name_or_path {name!r} is not fetched yet; run `{FETCHED[name]}`"
        )
    return str(checked(folder, f"delete it and run `{FETCHED[name]}` again"))

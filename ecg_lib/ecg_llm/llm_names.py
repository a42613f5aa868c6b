"""Short names of language models that are fetched from a Python package, and their folders."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from ecg_lib import paths
from ecg_lib.errors import DataError

FETCHED = MappingProxyType({"smollm2-135m": "make smollm"})  # short name -> command that fetches it


def fetched_folder(name: str) -> Path:
    """Return the folder in which a fetched language model lies, whether it exists or not."""
    return paths.checkpoints_dir("pretrained") / name


def find_llm(name_or_path: str | Path) -> str:
    """Return the folder of a short name; a hub id or a folder stays as it is.

    Raises
    ------
    DataError
        The language model of the short name has not been fetched.
    """
    name = str(name_or_path)
    if name not in FETCHED:
        return name
    folder = fetched_folder(name)
    if not folder.is_dir():
        raise DataError(f"llm.name_or_path {name!r} is not fetched yet; run `{FETCHED[name]}`")
    return str(folder)

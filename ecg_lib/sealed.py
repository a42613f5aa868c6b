"""Seals: sizes and hashes of a finished folder's files, to tell later that one was altered.

A seal is written when a store, a trained model or a cache is finished, and looked at before it is
used. A folder without a seal, made by an earlier version, is taken as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from ecg_lib.disk import write_file
from ecg_lib.errors import DataError

SEAL = "seal.json"
_ABOVE = 3  # a part of a sealed folder lies at most so deep in it


def seal(folder: str | os.PathLike, but: Iterable[str] = ()) -> None:
    """Write sizes and hashes of all files below a folder into its seal.json.

    Hidden files, such as those a killed run left, are not part of it.

    Parameters
    ----------
    folder : path-like
    but : iterable of str
        Names of files in `folder` that may change.
    """
    folder, aside = Path(folder), {SEAL, *but}
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("[!.]*") if p.is_file())
    told = {name: list(_state(folder / name)) for name in names if name not in aside}
    whole = {"files": told, "sha256": _own(told)}
    write_file(folder / SEAL, json.dumps(whole, indent=1) + "\n")


def damage(folder: str | os.PathLike, below: str = "") -> str:
    """Return what is wrong with a sealed folder, in words; empty if it is whole or has no seal.

    Parameters
    ----------
    folder : path-like
    below : str
        Look only at files whose relative path begins with this.
    """
    file = Path(folder, SEAL)
    if not file.exists():
        return ""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        wanted = {name: (int(size), str(digest)) for name, (size, digest) in told["files"].items()}
        whole = told["sha256"] == _own(told["files"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        return f"{SEAL} is damaged"
    for name, (size, digest) in wanted.items():
        if not name.startswith(below):
            continue
        path = Path(folder, name)
        if not path.is_file():
            return f"{name} is missing"
        if (found := path.stat().st_size) != size:
            return f"{name} has {found:,} bytes instead of {size:,}"
        if _state(path)[1] != digest:
            return f"{name} was altered"
    return ""


def checked(folder: str | os.PathLike, cure: str = "make it again") -> Path:
    """Return a folder after checking it by its own seal, or by that of a folder around it.

    Parameters
    ----------
    cure : str
        What to do if it is damaged.

    Raises
    ------
    DataError
        A sealed file is missing or was altered.
    """
    folder = Path(folder)
    for place in (folder, *folder.absolute().parents[:_ABOVE]):
        if (place / SEAL).exists():
            inside = folder.absolute().relative_to(place.absolute()).as_posix()
            if wrong := damage(place, "" if inside == "." else f"{inside}/"):
                raise DataError(f"{place}: {wrong}; {cure}")
            break
    return folder


def _own(told: dict) -> str:
    """Return the hash by which a seal notices that it was altered itself."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _state(path: Path) -> tuple[int, str]:
    told = path.stat()
    return told.st_size, _digest(str(path), told.st_size, told.st_mtime_ns, told.st_ino)


@lru_cache(maxsize=4096)
def _digest(path: str, size: int, changed: int, number: int) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

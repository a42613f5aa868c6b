"""Find a data set by a file or folder that only it has, and refuse contradictions in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ecg_lib.errors import DataError

DEPTH = 2  # a data root holds cohort folders, and PhysioNet's archives often add a level


def locate(root: str | os.PathLike, signature: str, what: str) -> Path:
    """Return the folder that holds `signature`, at `root` or up to two levels below it.

    Parameters
    ----------
    root : str or path
    signature : str
        Name or glob pattern of a file or folder.
    what : str
        Name of the data set, for error messages.

    Raises
    ------
    DataError
        `root` does not exist, no folder holds the signature, or several do.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise DataError(
            f"{what}: folder {root} does not exist; give the folder that holds {signature}"
        )
    for depth in range(DEPTH + 1):
        levels = len(Path(signature).parts)
        hits = sorted(root.glob("*/" * depth + signature))
        folders = sorted({hit.parents[levels - 1] for hit in hits})
        if len(folders) > 1:
            raise DataError(
                f"{what}: {signature} is in {folders[0]} and {folders[1]}; name one of them"
            )
        if folders:
            return folders[0]
    raise DataError(
        f"{what}: no {signature} in {root} or up to {DEPTH} levels below it; "
        "give the folder of the unpacked data set"
    )


def refuse_twice(items: Iterable[Any], name_of: Callable[[Any], str], what: str) -> None:
    """Raise `DataError` if two items, such as files in two folders, give a record one name.

    Parameters
    ----------
    items : iterable
        Shown in the message.
    name_of : callable
        Returns the name of an item's record.
    what : str
        Name of the data set.
    """
    seen: dict[str, Any] = {}
    for item in items:
        first = seen.setdefault(name_of(item), item)
        if first is not item:
            raise DataError(
                f"{what}: {first} and {item} are both record {name_of(item)}; keep one of them"
            )

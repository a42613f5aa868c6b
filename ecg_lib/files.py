"""Atomic writing of files, so that an interrupted run leaves no partial file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_atomically(
    path: str | os.PathLike, content: str | bytes | Callable[[Path], object]
) -> None:
    """Write a temporary file in the same folder and rename it once it is complete.

    Parameters
    ----------
    path : path-like
        The file. Its folder is created if it does not exist.
    content : str, bytes or callable
        Text (UTF-8, line ends as given), bytes, or a function that writes to a path with the same
        suffix, such as `frame.to_parquet`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
    try:
        if isinstance(content, str):
            temporary.write_text(content, encoding="utf-8", newline="")
        elif isinstance(content, bytes):
            temporary.write_bytes(content)
        else:
            content(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)

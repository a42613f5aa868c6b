"""Files are written whole or not at all, so that an interrupted run leaves no half of one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_atomically(
    path: str | os.PathLike, content: str | bytes | Callable[[Path], object]
) -> None:
    """Write a file beside its place and move it there once it is complete.

    Parameters
    ----------
    path : the file; its folder is made where it is absent
    content : text (UTF-8, line ends as given), bytes, or what writes to a path with the same
        suffix, e.g. `frame.to_parquet`
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

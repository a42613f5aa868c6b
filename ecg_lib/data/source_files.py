"""Read a source's tables, and no file outside the source's folder or of an odd name."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from ecg_lib.errors import BadRecord, DataError

_MOST_TEXT = 500_000_000  # bytes
_BLOCK = 2**24  # bytes of a table in memory while it is searched


def read_source_table(
    path: Path, root: str | os.PathLike, what: str, columns: Iterable[str] = (), **options: Any
) -> pd.DataFrame:
    """Read a CSV file of a source.

    Parameters
    ----------
    path : Path
        The table, inside `root`.
    root : str or path
        The source's folder.
    what : str
        Name of the data set, for error messages.
    columns : iterable of str
        Columns that the table must have.
    **options
        Of `pandas.read_csv`.

    Raises
    ------
    DataError
        The file is absent, a folder, a pipe or a link out of `root`, is no CSV in UTF-8, lacks a
        column or has one twice.
    """
    if not path.is_file():
        raise DataError(f"{what}: no {path.name} in {path.parent}; download it into this folder")
    refuse_link_outward(root, path, what)
    _refuse_nul(path, what)
    text: dict[str, Any] = {"encoding": "utf-8-sig"}  # with or without a byte order mark
    try:
        head = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False, **text)
        names = [str(name).strip() for name in head.iloc[0]]
        table = read_rows(path, **text, **options).rename(columns=str.strip)
    except (ValueError, MemoryError) as error:  # ValueError: pandas' own errors and wrong encodings
        told = str(error).strip().splitlines()[0]
        raise DataError(
            f"{what}: {path} is damaged ({told}); download it again, or save it as CSV in UTF-8"
        ) from error
    for name in columns:
        if name not in names:
            raise DataError(
                f"{what}: {path} has no column {name}; use the original table, with commas"
            )
    if twice := [name for name in names if name and names.count(name) > 1]:
        raise DataError(f"{what}: {path} has the column {twice[0]} twice; keep one of them")
    return table


def read_rows(file: Any, **options: Any) -> pd.DataFrame:
    """Read a CSV file with pandas, which would shift the cells of rows longer than the header.

    Raises
    ------
    ValueError
        A row is longer than the header, or pandas cannot read the file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return pd.read_csv(file, index_col=False, **options)
        except pd.errors.ParserWarning as warning:
            raise ValueError("rows are longer than the header") from warning


def read_text(path: str | os.PathLike, what: str) -> str:
    """Read a text file in UTF-8, with or without a byte order mark.

    Raises
    ------
    DataError
        There is no such file, it is a folder, a pipe or a device, it is longer than half a
        gigabyte, or it is not text in UTF-8.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file; give {what}")
    if path.stat().st_size > _MOST_TEXT:
        raise DataError(f"{path}: longer than {_MOST_TEXT:,} bytes; give {what} in parts")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8 text; save it as {what}") from None


def inside(root: str | os.PathLike, path: str | os.PathLike) -> bool:
    """Return whether a path lies in a folder when all links are followed."""
    try:
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
    except ValueError:  # a NUL in the name
        return False


def refuse_link_outward(root: str | os.PathLike, path: Path, what: str) -> None:
    """Raise `DataError` if a table is a link out of its data set's folder."""
    if not inside(root, path):
        raise DataError(f"{what}: {path} is a link out of {root}; copy the file into the folder")


def refuse_outside(root: str | os.PathLike, files: Iterable[Path]) -> None:
    """Raise `BadRecord` if a record would be read from outside its source's folder.

    The folder itself may be reached through a link.
    """
    for path in files:
        if not inside(root, path):
            raise BadRecord(f"{path.name} leads out of the data set's folder; copy the file there")


def refuse_denied(path: Path) -> None:
    """Raise `BadRecord` if this user may not read a file."""
    if not os.access(path, os.R_OK):
        raise BadRecord(f"{path.name} may not be read by this user, change its permissions")


def refuse_odd_names(names: Iterable[str], what: str) -> None:
    """Raise `DataError` if the name of a file is not UTF-8, so that no table could hold it."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise DataError(
                f"{what}: the file name {os.fsencode(name)!r} is not UTF-8; rename it"
            ) from None


def _refuse_nul(path: Path, what: str) -> None:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            if b"\0" in block:
                raise DataError(
                    f"{what}: {path} is damaged (it holds NUL characters); download it again, or "
                    "save it as CSV in UTF-8"
                )

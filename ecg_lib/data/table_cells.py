"""Read cells of the sources' tables, each for itself, so that an odd one costs itself alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ecg_lib.data.source_files import read_text
from ecg_lib.errors import BadRecord, DataError

if TYPE_CHECKING:
    from ecg_lib.knowledge.label_maps import Translation

_EMPTY = {"", "nan", "<na>", "na", "n/a", "none", "null", "unknown", "-", "--", "?", "."}
_SHOWN = 60  # characters of a cell that could not be read
_CONTRADICTED = "contradicted"


def is_empty(cell: Any) -> bool:
    """Return whether a cell holds nothing or a word for it, such as "Unknown" or "-"."""
    return str(cell).strip().lower() in _EMPTY


def identifier(cell: Any) -> str:
    """Return an identifier as text, "15709" for 15709.0 as well; "" if there is none."""
    text = "" if is_empty(cell) else str(cell).strip()
    whole, _, rest = text.partition(".")
    return whole if whole.isdigit() and not rest.strip("0") else text


def whole_numbers(path: Path) -> list[int]:
    """Read the last column of a tab-separated file without a header as whole numbers.

    Raises
    ------
    DataError
        There is no such file, it is empty, or a line holds no number. The file assigns ECGs to
        splits, so that no line may be passed over.
    """
    lines = [line for line in read_text(path, "a list of ECGs").splitlines() if line.strip()]
    cells = [identifier(line.rpartition("\t")[2]) for line in lines]
    if not cells:
        raise DataError(f"{path}: lists no ECG; download it again")
    odd = [n for n, cell in enumerate(cells) if not (cell.isascii() and cell.isdigit())]
    if odd:
        raise DataError(
            f"{path}: line {odd[0] + 1} ends in {cells[odd[0]][:40]!r}, which is no ECG number; "
            "download it again"
        )
    return [int(cell) for cell in cells]


def unread_cell(field: str, cell: Any, value: Any) -> list[str]:
    """Return ["field: cell"] if a cell holds something but its value is unknown (NaN or "")."""
    unknown = value == "" or value != value
    return (
        [f"{field}: {' '.join(str(cell).split())[:_SHOWN]}"]
        if unknown and not is_empty(cell)
        else []
    )


def once(table: pd.DataFrame, key: str, *unique: str) -> pd.DataFrame:
    """Keep one row per key; rows that contradict each other are marked.

    Parameters
    ----------
    table : pandas.DataFrame
        Equal rows are taken once; columns without a name (row numbers) do not count.
    key : str
        Column that names the record.
    *unique : str
        Further columns of which two records cannot share a cell, such as a path.

    Returns
    -------
    pandas.DataFrame
        With a column for `refuse_contradiction`.
    """
    said = [name for name in table if not str(name).startswith("Unnamed: ")]
    table = table.drop_duplicates(said)
    repeated = table[table[key].duplicated(keep=False)]
    differing = {
        name: next(column for column in said if rows[column].nunique(dropna=False) > 1)
        for name, rows in repeated.groupby(key)
    }
    table = table[~table[key].duplicated()]
    marks = table[key].map(differing).astype(object).fillna("")
    for column in unique:
        marks = marks.mask((marks == "") & table[column].duplicated(keep=False), column)
    return table.assign(**{_CONTRADICTED: marks})


def refuse_contradiction(item: Mapping[str, Any], table: str) -> None:
    """Raise `BadRecord` if a table lists an item more than once with different entries."""
    column = item.get(_CONTRADICTED)
    if isinstance(column, str) and column:
        raise BadRecord(f"listed more than once in {table} with different entries of {column}")


def understood(found: Translation, field: str, others: list[str]) -> dict[str, Any]:
    """Return a record's attributes, with what could not be read as `unread`.

    Parameters
    ----------
    found : Translation
        The record's codes.
    field : str
        Where the codes stand, for the reason.
    others : list of str
        Further cells that could not be read, see `unread_cell`.

    Raises
    ------
    BadRecord
        None of the codes is known: the record would count as negative for every label.
    """
    known = set(found.unmapped) - set(found.unread)
    if found.unread and not (found.labels or known or set(found.attributes) - {"unmapped"}):
        raise BadRecord(f"{field}: no known code ({', '.join(found.unread)[:60]})")
    unread = [f"{field}: {code}" for code in found.unread] + others
    return found.attributes | ({"unread": unread} if unread else {})

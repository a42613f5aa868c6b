"""Compare a result table with its Markdown twin, so that an altered or cut file is noticed.

Both are written from the same rows. A program reads the CSV and people read the Markdown; where
they disagree, one of them was altered.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

_BAR = re.compile(r"(?<!\\)\|")
_NUMBER = re.compile(r"-?[\d,]*\.?\d+(?:e-?\d+)?")


def unlike(markdown: Path, frame: pd.DataFrame) -> str:
    """Return in words where a table's Markdown disagrees with its rows; empty if nowhere.

    Parameters
    ----------
    markdown : Path
        A table without Markdown is not compared.
    frame : DataFrame
        Rows of the CSV, with `source`, `row`, `column` and `value`.
    """
    if not markdown.is_file():
        return ""
    cells = _cells(markdown.read_text(encoding="utf-8"))
    if len(cells) != len(frame):
        return f"it has {len(frame):,} rows, but {markdown.name} has {len(cells):,} cells"
    for row, column, value, cell in zip(
        frame["row"], frame["column"], frame["value"], _in_order(frame, cells), strict=True
    ):
        if not _agree(value, cell):
            return f"{row!r}, {column!r} is {value:g}, but {cell!r} in {markdown.name}"
    return ""


def _cells(text: str) -> list[list[str]]:
    """Return the filled cells of all tables as [row, column, cell], unescaped."""
    found: list[list[str]] = []
    head: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            head = []
            continue
        parts = [part.strip().replace("\\|", "|") for part in _BAR.split(line)[1:-1]]
        if not head:
            head = parts
        elif not line.startswith("|:--"):
            found += [
                [parts[0], c, cell] for c, cell in zip(head[1:], parts[1:], strict=False) if cell
            ]
    return found


def _in_order(frame: pd.DataFrame, cells: list[list[str]]) -> list[str]:
    """Return the cell of each row of the frame; ours come first, as in the Markdown."""
    ours = int((frame["source"] == "ours").sum())
    tables = {"ours": cells[:ours], "paper": cells[ours:]}
    known = {
        (source, row, column): cell for source, own in tables.items() for row, column, cell in own
    }
    names = zip(frame["source"], frame["row"], frame["column"], strict=True)
    return [known.get((s, _flat(row), _flat(column)), "") for s, row, column in names]


def _flat(name: str) -> str:
    return name.replace("\n", " ").strip()


def _agree(value: float, cell: str) -> bool:
    """Return whether a cell begins with the value, as far as its digits go."""
    if pd.isna(value):
        return cell.startswith("n/a")
    if cell.startswith("<"):
        return True  # a p value below what is printed
    found = _NUMBER.match(cell)
    if not found:
        return False
    text = found[0].replace(",", "")
    digits, _, power = text.partition("e")
    _, _, decimals = digits.partition(".")
    step = 10.0 ** (int(power or 0) - len(decimals))
    return abs(float(text) - value) <= 0.51 * step + 1e-5 * abs(value)

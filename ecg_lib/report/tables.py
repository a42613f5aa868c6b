"""Tidy tables: CSV with one value per line, and Markdown with our numbers and the paper's.

Identical values give byte-identical files: the digits are fixed, line ends are LF, and rows keep
the order of the frame.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ecg_lib.disk import write_file
from ecg_lib.errors import DataError
from ecg_lib.report.provenance import Provenance
from ecg_lib.report.reference import COLUMNS, NUMBERS, PAPER_LABEL, STAMPS
from ecg_lib.report.twins import unlike

_CURE = "run the notebook that writes it, or restore it with git"
P_VALUE = "McNemar p"  # prefix of columns that hold p values
_LABEL = re.compile(r"^\*\*Ours \((.+)\)\*\*$", re.MULTILINE)


def tidy(
    table: str,
    cells: pd.DataFrame | Iterable[Mapping[str, Any]],
    provenance: Provenance,
) -> pd.DataFrame:
    """Turn cells into rows of a result table.

    A cell has row, column and value, and optionally n, ci_low and ci_high. Proportions and AUCs
    are in percent. A cell that could not be computed has a NaN value and still states its n.

    Raises
    ------
    DataError
        A cell lacks its row, column or value, or two cells have the same row and column.
    """
    frame = pd.DataFrame(cells if isinstance(cells, pd.DataFrame) else list(cells))
    missing = [c for c in ("row", "column", "value") if c not in frame]
    if missing:
        raise DataError(f"{table}: cells have no {missing[0]!r}; give row, column and value")
    twice = frame.duplicated(["row", "column"])
    if twice.any():
        row, column = frame.loc[twice, ["row", "column"]].iloc[0]
        raise DataError(f"{table}: cell {row!r}, {column!r} is given twice; keep one")
    frame = provenance.stamp(frame.assign(table=table, source="ours")).reindex(columns=COLUMNS)
    frame[NUMBERS] = frame[NUMBERS].astype(float)
    return frame.reset_index(drop=True)


def write_table(
    name: str,
    frame: pd.DataFrame,
    folder: Path,
    title: str,
    label: str,
    note: str = "",
    digits: int | None = 1,
) -> tuple[Path, Path]:
    """Write <name>.csv and <name>.md into `folder`, atomically.

    Parameters
    ----------
    frame : DataFrame
        Tidy rows of both sources, in the order to print.
    title, note : str
        Printed above and below the Markdown tables.
    label : str
        What our numbers come from, such as "simulated cohort, tiny LLM".
    digits : int or None
        Decimals in the Markdown; None prints each number in its shortest form (learning rates).
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [c for c in COLUMNS if c not in frame]
    if missing:
        raise DataError(f"{name}: no column {missing[0]!r}; build the frame with tidy()")
    rounded = frame[COLUMNS].copy()
    for column in NUMBERS:
        rounded[column] = [_fixed(x) for x in rounded[column]]
    csv, md = folder / f"{name}.csv", folder / f"{name}.md"
    write_file(csv, rounded.to_csv(index=False, lineterminator="\n"))
    write_file(md, _markdown(frame, title, label, note, digits))
    return csv, md


def read_table(path: Path) -> pd.DataFrame:
    """Read a table written by `write_table`; stamps are text, numbers are floats.

    Raises
    ------
    DataError
        The file is missing or is not a result table.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such result table; run the notebook that writes it")
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: damaged ({' '.join(str(error).split())}); {_CURE}") from error
    if list(frame.columns) != COLUMNS:
        raise DataError(f"{path}: not a result table; its header should be {','.join(COLUMNS)}")
    try:
        for column in NUMBERS:
            frame[column] = frame[column].mask(frame[column] == "").astype(float)
    except ValueError as error:
        raise DataError(f"{path}: column {column}: {error}; {_CURE}") from error
    if told := unlike(path.with_suffix(".md"), frame):
        raise DataError(f"{path}: {told}; {_CURE}")
    return frame


def label_of(markdown: Path) -> str:
    """Return the label of our numbers as printed in a table's Markdown, or "" if it has none."""
    found = _LABEL.search(markdown.read_text(encoding="utf-8")) if markdown.is_file() else None
    return found[1] if found else ""


def format_cell(
    value: float, n: float, ci_low: float, ci_high: float, digits: int | None = 1
) -> str:
    """Format a cell as `81.2 (79.0-83.3), n=1,204`, or `n/a (n=4)` if it has no value."""
    count = "" if pd.isna(n) else f"n={int(n):,}"
    if pd.isna(value):
        return f"n/a ({count})" if count else "n/a"

    def number(x: float) -> str:
        if digits is not None:
            return f"{x:.{digits}f}"
        return f"{x:.1e}".replace(".0e", "e") if 0 < abs(x) < 1e-3 else f"{x:,.6g}"

    text = number(value)
    if not pd.isna(ci_low):
        to = " to " if ci_low < 0 or ci_high < 0 else "-"
        text += f" ({number(ci_low)}{to}{number(ci_high)})"
    return f"{text}, {count}" if count else text


def p_text(value: float, n: float, ci_low: float, ci_high: float, digits: int | None = 2) -> str:
    """Format a p value as `format_cell` does, but as `<0.01` if it would round to `0.00`."""
    text = format_cell(value, n, ci_low, ci_high, digits)
    zero = "" if digits is None else f"{0:.{digits}f}"
    if not zero or not text.startswith(zero):
        return text
    return f"<{zero[:-1]}1{text[len(zero) :]}"


def wide_markdown(frame: pd.DataFrame, digits: int | None = 1, with_n: bool = True) -> str:
    """Lay out tidy rows as a Markdown table, rows and columns in order of first appearance."""
    rows, columns = list(dict.fromkeys(frame["row"])), list(dict.fromkeys(frame["column"]))
    numbers = frame[NUMBERS] if with_n else frame[NUMBERS].assign(n=float("nan"))
    texts = {
        (row, column): (p_text if column.startswith(P_VALUE) else format_cell)(
            value, n, low, high, digits
        )
        for row, column, value, n, low, high in zip(
            frame["row"], frame["column"], *(numbers[c] for c in NUMBERS), strict=True
        )
    }
    lines = [["", *columns]]
    lines += [[row, *(texts.get((row, column), "") for column in columns)] for row in rows]
    head, *body = ["| " + " | ".join(_escape(t) for t in line) + " |" for line in lines]
    return "\n".join([head, "|:--|" + "--:|" * len(columns), *body])


def _markdown(frame: pd.DataFrame, title: str, label: str, note: str, digits: int | None) -> str:
    parts = [f"# {title}"]
    for source, heading in (("ours", f"Ours ({label})"), ("paper", f"Paper ({PAPER_LABEL})")):
        part = frame[frame["source"] == source]
        if len(part):
            parts += [f"**{heading}**", wide_markdown(part, digits)]
    if frame["ci_low"].notna().any():
        parts.append("In brackets: 95 % interval; n: number of cases behind the value.")
    if note:
        parts.append(note)
    stamps = frame.loc[frame["source"] == "ours", STAMPS].astype(str).drop_duplicates()
    for stamp in stamps.itertuples(index=False):
        told = [f"{k.replace('_', ' ')} `{v}`" for k, v in stamp._asdict().items() if v]
        if told:
            parts.append("Produced with " + ", ".join(told) + ".")
    return "\n\n".join(parts) + "\n"


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _fixed(number: float) -> str:
    return "" if pd.isna(number) else f"{number:.6g}" if abs(number) < 1e5 else f"{number:.0f}"

"""The blind test on paper: one table as Markdown and LaTeX, and the plane of two drops."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from ecg_lib.blind_test.measures import PERCENT
from ecg_lib.errors import DataError
from ecg_lib.report.figures.drop_plane import drop_plane

if TYPE_CHECKING:
    from ecg_lib.blind_test.run import BlindTest

_LATEX = {sign: f"\\{sign}" for sign in "&%$#_{}"}
_LATEX |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_NOTE = (
    "Percent, with 95 % intervals over patients. A drop is the accuracy lost with something else "
    "in place of the ECG. do(question): each yes/no question counts as many yes as no; within "
    "severity: the same among equally ill patients. Anchors learn from other patients' rows."
)


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table as text: one line per row, one column per way of weighing the questions."""
    columns = list(dict.fromkeys(table["column"]))
    lines: dict[str, dict[str, str]] = {}
    for cell in table.itertuples():
        lines.setdefault(str(cell.row), dict.fromkeys(columns, ""))[cell.column] = _text(cell)
    return pd.DataFrame.from_dict(lines, orient="index", columns=columns).rename_axis("")


def to_markdown(result: BlindTest) -> str:
    """Return the verdict and the table as Markdown."""
    title = f"# Blind test: {_plain(result.model)}, {_plain(result.questions)}"
    table = wide(result.table)
    table.index = table.index.map(_plain)
    text = table.rename(columns=_plain).to_markdown(disable_numparse=True)
    return f"{title}\n\n{_plain(str(result.verdict))}\n\n{text}\n\n{_NOTE}\n"


def to_latex(result: BlindTest) -> str:
    """Return the table as LaTeX, for the package booktabs."""
    caption = f"Blind test: {result.model}, {result.questions}. {_NOTE}"
    return wide(result.table).to_latex(
        escape=True,
        caption="".join(_LATEX.get(sign, sign) for sign in caption),
        label="tab:blind-test",
    )


def _plain(text: str) -> str:
    """Return text in which Markdown sees no markup and no end of a cell or line."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$])", r"\\\1", " ".join(str(text).split()))


def plane(results: Sequence[BlindTest], label: str = "") -> Figure | None:
    """Draw the models' two drops beside the anchors; None if no matched drop was measured.

    Parameters
    ----------
    results : sequence of BlindTest
        Tests on the same rows; the anchors of the first are drawn.
    label : str
        What the numbers come from.
    """
    models = [result.model for result in results]
    tables = [results[0].table]
    tables += [r.table[r.table["row"].str.startswith(f"{r.model}, ")] for r in results[1:]]
    try:
        return drop_plane(pd.concat(tables), label, results[0].verdict.column, models)
    except DataError:
        return None


def _text(cell) -> str:
    if pd.isna(cell.value):
        return "n/a"
    digits = 1 if cell.unit == PERCENT else 2
    text = f"{cell.value:.{digits}f}"
    if pd.isna(cell.ci_low):
        return text
    to = " to " if min(cell.ci_low, cell.ci_high) < 0 else "-"
    return f"{text} ({cell.ci_low:.{digits}f}{to}{cell.ci_high:.{digits}f})"

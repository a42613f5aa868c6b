"""Helpers for figures of measured numbers: markers, intervals, legends, ours and the paper's."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ecg_lib.errors import DataError
from ecg_lib.report import style

# Reference line: chance, or the base rate.
LEVEL: style.Look = {"color": style.INK, "lw": 0.9, "ls": (0, (4, 2))}
# The paper's numbers: hollow grey diamonds.
PAPER_LOOK: style.Look = {
    "marker": "D",
    "ms": 5.5,
    "mfc": "white",
    "mec": style.PAPER,
    "mew": 1.4,
    "ls": "",
}


def ours_of(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return our rows of a tidy table; raise DataError if there are none to draw."""
    ours = table[table["source"] == "ours"]
    if ours.empty:
        raise DataError(f"{name}: none of our results to draw; run the evaluation first")
    return ours


def whisker(ax: Axes, cell: pd.Series, x: float | None = None, y: float | None = None) -> None:
    """Draw a cell's 95 % interval as a vertical line at x or a horizontal one at y."""
    if np.isnan(cell["ci_low"]):
        return
    low, high = cell["ci_low"], cell["ci_high"]
    ends = ([low, high], [y, y]) if x is None else ([x, x], [low, high])
    ax.plot(*ends, color=style.INK, lw=1.1, solid_capstyle="butt", zorder=4)


def key(label: str, **look) -> Line2D:
    """Return a legend entry: the look of a line or marker, and its meaning."""
    return Line2D([], [], label=label, **look)


def legend_above(fig: Figure, handles: list) -> None:
    """Draw one legend for the whole figure, above its panels at the left."""
    columns = legend_columns([h.get_label() for h in handles], fig.get_figwidth())
    fig.legend(
        handles=handles,
        loc="outside upper left",
        ncols=columns,
        handlelength=1.4,
        columnspacing=1.2,
    )


def legend_columns(labels: list[str], inches: float, most: int = 5) -> int:
    """Return how many legend columns fit the width; matplotlib fills them one by one."""
    for columns in range(min(len(labels), most), 1, -1):
        parts = np.array_split(np.array([len(label) for label in labels]), columns)
        if sum(part.max() + 6 for part in parts) <= 16 * inches:  # 6: handle and gap, in characters
            return columns
    return 1


def wrap(text: str, width: int) -> str:
    """Wrap text into lines of at most `width` characters."""
    return "\n".join(textwrap.wrap(text, width))

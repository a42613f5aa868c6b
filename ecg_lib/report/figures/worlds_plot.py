"""Figure of the worlds (ways to draw questions): accuracy of readers without an ECG, by remedy."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ecg_lib.errors import DataError
from ecg_lib.questions.worth import BITS, REMEDIES
from ecg_lib.report import style
from ecg_lib.report.plot_helpers import legend_above

_READERS = {  # colour, mark
    "constant": (style.QUIET, "|"),
    "question": (style.BLUE, "o"),
    "ill": (style.ORANGE, "s"),
    "question + ill": (style.RED, "D"),
}
_LANES = (-0.27, -0.09, 0.09, 0.27)  # vertical offsets of the readers
_TEXT = (
    "None of these readers sees the ECG; orange and red are told whether it is normal. If blue is "
    "right of the grey tick, the question gives its answer away. Pairs bring blue and grey to "
    "50 %, but not orange and red; pairs within severity bring all four there. Right of each line: "
    "how many bits the question carries about its answer, and how many rows are left."
)


def worlds_of_asking(table: pd.DataFrame, label: str = "") -> Figure:
    """Plot the accuracy of each reader (%), one panel per world, one line per remedy.

    Parameters
    ----------
    table : DataFrame
        Result of :func:`ecg_lib.questions.worth.worth_of_worlds`.
    label : str
        What our numbers come from, printed in the caption.

    Raises
    ------
    DataError
        The table is empty.
    """
    if table.empty:
        raise DataError("worlds figure: no rows to draw; build questions first")
    worlds = list(dict.fromkeys(table["world"]))
    columns = 2
    lines = -(-len(worlds) // columns)
    with style.use():
        fig = style.new_figure(7.6, 1.1 + 1.75 * lines)
        axes = fig.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for ax, world in zip(axes, worlds, strict=False):
            _panel(ax, table[table["world"] == world])
            ax.set_title(world)
        for ax in axes[len(worlds) :]:
            ax.set_visible(False)
        for ax in axes[max(0, len(worlds) - columns) : len(worlds)]:
            ax.set_xlabel("accuracy (%)")
            ax.tick_params(labelbottom=True)
        handles = [
            Line2D([], [], color=color, marker=mark, ls="", ms=6, mew=2 if mark == "|" else 0)
            for color, mark in _READERS.values()
        ]
        for handle, reader in zip(handles, _READERS, strict=True):
            handle.set_label(reader)
        legend_above(fig, handles)
        style.caption(fig, _TEXT, label)
    return fig


def _panel(ax: Axes, world: pd.DataFrame) -> None:
    for y, remedy in enumerate(REMEDIES):
        part = world[world["remedy"] == remedy].set_index("reader")
        if part.empty:
            ax.text(52, y, "no row left", va="center", fontsize=7, color=style.QUIET)
            continue
        at = 100 * part["value"]
        for lane, (reader, (color, mark)) in zip(_LANES, _READERS.items(), strict=True):
            tick = mark == "|"
            look: style.Look = {"ms": 7 if tick else 5, "mew": 2 if tick else 0}
            ax.plot([50, at[reader]], [y + lane] * 2, color=color, lw=1, alpha=0.5)
            ax.plot(at[reader], y + lane, mark, color=color, **look)
        told = f"{part.loc[BITS, 'value']:.2f} bits\n{int(part['n'].iloc[0]):,} rows"
        beside: style.Look = {
            "transform": ax.get_yaxis_transform(),
            "va": "center",
            "linespacing": 0.95,
        }
        ax.text(1.01, y, told, **beside, fontsize=6.5, color=style.QUIET)
    ax.axvline(50, color=style.INK, lw=0.9, ls=(0, (4, 2)), zorder=0)
    ax.set(xlim=(25, 102), ylim=(len(REMEDIES) - 0.5, -0.7))
    ax.set_yticks(range(len(REMEDIES)), REMEDIES)
    ax.grid(axis="y", visible=False)

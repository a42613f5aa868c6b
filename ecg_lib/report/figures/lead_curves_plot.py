"""Figure of models that are shown fewer leads: AUC over the number of leads (K-MERL, Figure 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecg_lib.report import style
from ecg_lib.report.plot_helpers import key, legend_above, whisker

_COLORS = (style.BLUE, style.ORANGE, style.GREEN, style.RED, style.PURPLE, style.SKY, style.INK)
_MARKS = "osD^vPX"
_LIMB = (2, 6)  # numbers of leads, in the paper's order, that carry the information of I and II
_TEXT = (
    "Leads are added in the paper's order: I, II, III, aVF, aVR, aVL, V1 to V6. In the grey band "
    "nothing is added that I and II do not hold: a rise there is the model's, not the ECG's. "
    "Marks: mean of the seeds; lines: 95 % interval over patients."
)


def lead_curves(table: pd.DataFrame, part: str, rows: Sequence[str], label: str = "") -> Figure:
    """Plot AUC over the number of leads, one line per model.

    Parameters
    ----------
    table : DataFrame
        Tidy cells of `lead_tables.curve_cells`.
    part : str
        The cohort, the part of a column before the set of leads.
    rows : sequence of str
        The models to draw.
    """
    with style.use():
        fig = style.new_figure(6.4, 4.0)
        axes = fig.subplots()
        axes.axvspan(*_LIMB, color=style.FAINT, alpha=0.5, lw=0)
        for place, (row, look) in enumerate(_looks(rows).items()):
            _curve(axes, _by_number(table, part, row), look, 0.08 * (place - (len(rows) - 1) / 2))
        axes.set(
            xlabel="number of leads",
            ylabel="macro AUC (%)",
            xticks=range(1, 13),
            xlim=(0.5, 12.5),
        )
        legend_above(fig, [key(row, ms=5, **look) for row, look in _looks(rows).items()])
        style.caption(fig, f"{part}. {_TEXT}", label)
    return fig


def group_curves(
    table: pd.DataFrame, part: str, rows: Sequence[str], groups: Sequence[str], label: str = ""
) -> Figure:
    """Plot the same for each group of findings, which need different leads.

    Parameters
    ----------
    table : DataFrame
        Tidy cells of `lead_tables.group_cells`.
    groups : sequence of str
        The groups, one panel each.
    """
    with style.use():
        fig = style.new_figure(7.6, 2.6 * -(-len(groups) // 3) + 0.9)
        panels = fig.subplots(-(-len(groups) // 3), 3, sharex=True, sharey=True, squeeze=False)
        panels = panels.ravel()
        for axes, group in zip(panels, groups, strict=False):
            axes.axvspan(*_LIMB, color=style.FAINT, alpha=0.5, lw=0)
            drawn = {row: _by_number(table, part, f"{row}: {group}") for row in rows}
            if all(own.empty for own in drawn.values()):
                axes.text(6.5, 50, "too few ECGs have them", ha="center", color=style.QUIET)
            for place, (row, look) in enumerate(_looks(rows).items()):
                own = drawn[row]
                _curve(axes, own, look, 0.1 * (place - (len(rows) - 1) / 2))
            axes.set_title(group)
            axes.set(xticks=[1, 2, 3, 6, 9, 12], xlim=(0.5, 12.5))
        for axes in panels[len(groups) :]:
            axes.set_axis_off()
        fig.supylabel("AUC (%)", fontsize=9)
        legend_above(fig, [key(row, ms=5, **look) for row, look in _looks(rows).items()])
        text = "Rhythm is in every lead; anterior infarction is in the chest leads, added last."
        style.caption(fig, f"{part}, number of leads from left to right. {text}", label)
    return fig


def _looks(rows: Sequence[str]) -> dict[str, Mapping]:
    return {
        row: {"color": _COLORS[at % len(_COLORS)], "marker": _MARKS[at % len(_MARKS)]}
        for at, row in enumerate(rows)
    }


def _by_number(table: pd.DataFrame, part: str, row: str) -> pd.DataFrame:
    """Return the cells of one model whose set of leads is a number, by that number."""
    own = table[(table["row"] == row) & table["column"].str.startswith(f"{part}, ")]
    sets = own["column"].str.removeprefix(f"{part}, ")
    own = own.assign(leads=pd.to_numeric(sets, errors="coerce"))
    return own.dropna(subset=["leads", "value"]).sort_values("leads")


def _curve(axes: Axes, cells: pd.DataFrame, look: Mapping, shift: float) -> None:
    axes.plot(cells["leads"] + shift, cells["value"], ms=5, **look)
    for _, cell in cells.iterrows():
        whisker(axes, cell, x=cell["leads"] + shift)

"""Figures of accuracy: exact match by question type, and the random-ECG test.

Both take tidy tables with both sources and values in percent. Ours is blue, the paper's is grey.
"""

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ecg_lib.report import style
from ecg_lib.report.plot_helpers import (
    LEVEL,
    PAPER_LOOK,
    key,
    legend_above,
    ours_of,
    whisker,
    wrap,
)
from ecg_lib.report.reference import MODEL, PAPER_LABEL, QUESTION_TYPES

_MARKS: dict[str, style.Look] = {
    kind: {"marker": mark, "ls": "", "mfc": "white", "mec": style.INK, "ms": 4.5}
    for kind, mark in (("S-Verify", "o"), ("CC-Verify", "s"), ("CI-Verify", "^"))
}
_FIT = 7  # with more arms side by side, their names are wrapped to shorter lines


def exact_match_bars(table: pd.DataFrame, label: str = "") -> Figure:
    """Plot exact match by question type: our rows as bars, the paper's model as a diamond.

    Parameters
    ----------
    table : DataFrame
        Tidy Table 3, both sources; row = method, column = question type. The paper's row "ECG-LLM"
        is the diamond, its other rows are small ticks.
    """
    ours, paper = ours_of(table, "table 3"), table[table["source"] == "paper"]
    methods = list(dict.fromkeys(ours["row"]))
    methods.sort(key=lambda m: m != MODEL)
    palette = [style.BLUE, style.SKY, style.GREEN, style.PURPLE, style.RED, style.ORANGE]
    colors = {m: palette[i % len(palette)] for i, m in enumerate(methods)}
    width = 0.66 / len(methods)
    with style.use():
        fig = style.new_figure(7.2, 3.7)
        ax = fig.subplots()
        for x, kind in enumerate(QUESTION_TYPES):
            cells = ours[ours["column"] == kind].set_index("row")
            for i, method in enumerate(methods):
                at = x - 0.42 + width * (i + 0.5)
                if method not in cells.index or np.isnan(cells.loc[method, "value"]):
                    ax.text(at, 1, "n/a", rotation=90, ha="center", fontsize=7, color=style.QUIET)
                    continue
                cell = cells.loc[method]
                ax.bar(at, cell["value"], width * 0.92, color=colors[method])
                whisker(ax, cell, x=at)
            for row, value in paper.loc[paper["column"] == kind, ["row", "value"]].to_numpy():
                if row == MODEL:
                    ax.plot(x + 0.34, value, **PAPER_LOOK, zorder=4)
                else:
                    ax.plot([x + 0.27, x + 0.41], [value] * 2, color=style.PAPER, lw=0.8, zorder=3)
        ax.set_xticks(range(len(QUESTION_TYPES)), QUESTION_TYPES)
        ax.set(ylim=(0, 100), ylabel="exact match (%)")
        ax.grid(axis="x", visible=False)
        handles: list[Artist] = [Patch(color=colors[m], label=f"{m}, ours") for m in methods]
        handles.append(key(f"{MODEL}, paper", **PAPER_LOOK))
        if (paper["row"] != MODEL).any():
            handles.append(key("other methods, paper", color=style.PAPER, lw=0.7))
        legend_above(fig, handles)
        text = (
            "Bars: share of questions answered exactly (as sets), with 95 % intervals.\n"
            "S: one ECG; CC: two of one patient; CI: two of different patients."
        )
        style.caption(fig, text, label)
    return fig


def random_ecg_bars(table: pd.DataFrame, label: str = "") -> Figure:
    """Plot average accuracy with the right and a random ECG, by training arm; ours beside paper.

    Parameters
    ----------
    table : DataFrame
        Tidy Table 5, both sources; row = "<arm>, original ECG" or "<arm>, random ECG",
        column = question type or "average". Other rows (drops) are not drawn.
    """
    parts = table["row"].str.extract(r"^(?P<arm>.*), (?P<ecg>original|random) ECG$")
    table = pd.concat([table, parts], axis=1).dropna(subset="arm")
    ours = ours_of(table, "table 5")
    arms = {s: list(dict.fromkeys(t["arm"])) for s, t in table.groupby("source")}
    paper = table[table["source"] == "paper"]
    panels = [("ours", ours, style.BLUE)]
    if len(paper):
        panels.append(("paper", paper, style.PAPER))
    names = {"ours": "Ours", "paper": f"Paper ({PAPER_LABEL})"}
    ratios = [len(arms[name]) for name, _, _ in panels]
    many = sum(ratios) > _FIT
    with style.use():
        fig = style.new_figure(max(7.2, 0.95 * sum(ratios)), 3.7)
        axes = np.atleast_1d(fig.subplots(1, len(panels), sharey=True, width_ratios=ratios))
        for ax, (name, cells, color) in zip(axes, panels, strict=True):
            for x, arm in enumerate(arms[name]):
                _arm_bars(ax, x, cells[cells["arm"] == arm], color)
            ax.axhline(50, **LEVEL)
            ax.set_xticks(range(len(arms[name])), [wrap(a, 11 if many else 16) for a in arms[name]])
            ax.set(title=names[name], ylim=(0, 100), xlim=(-0.6, len(arms[name]) - 0.4))
            ax.grid(axis="x", visible=False)
        axes[0].set_ylabel("accuracy on verify questions (%)")
        handles: list[Artist] = [
            Patch(facecolor=style.QUIET, label="the question's ECG"),
            Patch(facecolor="white", edgecolor=style.QUIET, hatch="////", label="a random ECG"),
        ]
        handles += [key(kind, **mark) for kind, mark in _MARKS.items()]
        legend_above(fig, handles)
        text = "Bars: mean over the question types (marks); dashed: chance.\n"
        text += "A model that reads the ECG must lose accuracy when given another one."
        style.caption(fig, text, label)
    return fig


def _arm_bars(ax: Axes, x: float, cells: pd.DataFrame, color: str) -> None:
    """Draw two bars (original, random ECG), a mark per question type, and the change between."""
    means = {}
    for side, ecg in ((-0.2, "original"), (0.2, "random")):
        part = cells[cells["ecg"] == ecg].set_index("column")
        if "average" not in part.index or np.isnan(part.loc["average", "value"]):
            continue
        look: style.Look = (
            {"color": color}
            if ecg == "original"
            else {"facecolor": "white", "edgecolor": color, "hatch": "////"}
        )
        means[ecg] = part.loc["average", "value"]
        ax.bar(x + side, means[ecg], 0.36, **look)
        whisker(ax, part.loc["average"], x=x + side + 0.1)
        for kind, mark in _MARKS.items():
            if kind in part.index:
                ax.plot(x + side - 0.06, part.loc[kind, "value"], **mark, mew=0.8, zorder=5)
    if len(means) == 2:
        fall = f"{means['random'] - means['original']:+.1f}".replace("-", "\N{MINUS SIGN}")
        ax.text(x, cells["value"].max() + 4, fall, ha="center", weight="bold", fontsize=9)

"""Figures of the benchmark: ratios beside their aims, and how cost grows."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ecg_lib.report import style
from ecg_lib.report.plot_helpers import key, legend_above, wrap

_AIM: style.Look = {"marker": "|", "ms": 13, "mew": 2, "color": style.INK, "ls": ""}


def ratio_figure(ratios: pd.DataFrame) -> Figure:
    """Draw each ratio with its spread over repeats and the aim, on a log axis."""
    shown = ratios.dropna(subset="ratio").iloc[::-1]
    shown = shown[shown["unit"] != "of peak"]
    with style.use():
        fig = style.new_figure(7.2, 1.4 + 0.42 * len(shown))
        ax = fig.subplots()
        for y, row in enumerate(shown.to_dict("records")):
            color = style.OURS if row["ratio"] >= row["at_least"] else style.RED
            ax.plot([row["low"], row["high"]], [y, y], color=color, lw=4, alpha=0.4)
            ax.plot(row["ratio"], y, "o", color=color, ms=6)
            ax.plot(row["at_least"], y, **_AIM)
        units = [f", {u}" if u != "times" else "" for u in shown["unit"]]
        named = zip(shown["what"], units, shown["n"], shown["repeats"], strict=True)
        labels = [
            f"{wrap(what + unit, 46)}\n(n={n:,}, {repeats} repeats)"
            for what, unit, n, repeats in named
        ]
        ax.set_yticks(range(len(shown)), labels, fontsize=7)
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        ax.axvline(1, color=style.QUIET, lw=0.8)
        ax.set_xlabel("times as fast as the reference")
        seen = [
            key("median, and all repeats", marker="o", color=style.OURS, lw=4),
            key("the same, below its aim", marker="o", color=style.RED, lw=4),
            key("aim", **_AIM),
        ]
        legend_above(fig, seen)
        style.caption(
            fig,
            "Both ways are timed in turn, in one thread, with random weights. Not speeds beside a "
            "reference: ECGs simulated per second, imports per second, and memory for 1,000 ECGs "
            "as a share of that for 100,000.",
        )
    return fig


def growth_figure(growth: pd.DataFrame) -> Figure:
    """Draw how cost grows: seconds with ECGs, questions and signal, and memory with ECGs."""
    panels = list(growth.groupby(["grows_with", "unit"], sort=False))
    with style.use():
        fig = style.new_figure(7.2, 6.0)
        for ax, ((by, unit), cells) in zip(fig.subplots(2, 2).flat, panels, strict=True):
            for what, line in cells.groupby("what", sort=False):
                spread = [line["cost"] - line["low"], line["high"] - line["cost"]]
                ax.errorbar(
                    line["size"], line["cost"], spread, marker="o", ms=4, label=wrap(what, 30)
                )
            memory = unit == "MB"
            ax.set_xscale("log" if memory else "linear")
            ax.set_xticks(cells["size"].unique()[:3])
            ax.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
            ax.set_xlim(left=None if memory else 0)
            ax.set_ylim(bottom=0)
            ax.set_xlabel(by)
            ax.set_ylabel("peak memory of the process, MB" if memory else "CPU seconds")
            ax.legend(fontsize=6)
        style.caption(
            fig,
            "Three sizes each; a straight line from the origin is growth in proportion. "
            "Bars: smallest and largest of the repeats.",
        )
    return fig

"""Figures of measured numbers: learning curves, the bias of questions, zero-shot AUC.

Values are in percent. Our marks are filled, the paper's are hollow; intervals are at 95 %.
"""

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ecg_lib.errors import DataError
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
from ecg_lib.report.reference import LABELS

_NOT_METRICS = {"step", "epoch", "learning_rate", "grad_norm", "seconds"}
_FEW = 30  # with fewer rows, a share is too uncertain to draw
_COLORS = 6  # colours in the cycle; further curves are dashed
_WITHIN = 5  # with more curves, the legend goes outside the axes
_KINDS = {"broad": style.BLUE, "specific": style.ORANGE, "noise": style.GREEN}


def learning_curves(
    history: pd.DataFrame,
    title: str,
    label: str = "",
    caption: str = "Training has converged where the curves are flat; a held-out loss that rises "
    "again is overfitting.",
) -> Figure:
    """Plot losses (left) and other measures (right, if any) over optimiser steps.

    Parameters
    ----------
    history : DataFrame
        `step` and one column per curve; gaps (NaN) are allowed. Columns with "loss" in their name
        are losses in nats; the others are fractions.

    Raises
    ------
    DataError
        There is no step column or no loss column.
    """
    curves = [c for c in history.select_dtypes("number") if c not in _NOT_METRICS]
    losses = [c for c in curves if "loss" in c]
    others = [c for c in curves if "loss" not in c]
    if "step" not in history or not losses:
        raise DataError("learning curves: history needs a step and a loss column; log both")
    with style.use():
        width = 7.2 if others or len(losses) > _WITHIN else 4.6
        fig = style.new_figure(width, 3.2)
        axes = fig.subplots(1, 2 if others else 1, squeeze=False)[0]
        for ax, names, unit in zip(
            axes, (losses, others), ("loss (nats)", "fraction"), strict=False
        ):
            for k, name in enumerate(names):
                points = history[["step", name]].dropna()
                look: style.Look = {"marker": "o" if len(points) <= 25 else "", "ms": 3.5}
                look["ls"] = "-" if k < _COLORS else "--"  # colours repeat
                ax.plot(points["step"], points[name], label=name.replace("_", " "), **look)
            ax.set(xlabel="optimiser step", ylabel=unit)
            late = history.loc[history["step"] > 0.1 * history["step"].max(), names]
            if late.notna().any(axis=None):  # the first steps would flatten the rest
                low, high = late.min(axis=None), late.max(axis=None)
                ax.set_ylim(low - 0.1 * (high - low) - 1e-3, high + 0.3 * (high - low) + 1e-3)
            if len(names) <= _WITHIN:
                ax.legend()
        if len(losses) > _WITHIN:
            fig.legend(loc="outside right upper")
        if others:
            axes[1].set_ylim(0, 1.02)
        fig.suptitle(title, x=0.01, ha="left", fontsize=10, weight="bold")
        style.caption(fig, caption, label)
    return fig


def normal_ratio_bars(
    bias_table: pd.DataFrame,
    paper: pd.DataFrame,
    base_rate: float | None = None,
    label: str = "",
    predicted: pd.Series | None = None,
) -> Figure:
    """Plot the share of normal ECGs per question; broad questions above, specific below.

    Parameters
    ----------
    bias_table, paper : DataFrame
        Tidy Table 1, ours and the published one: row = question, column = "broad", "specific" or,
        as a control, "noise".
    base_rate : float, optional
        Share of normal ECGs among all of our ECGs, in percent. A bar would end here if the
        question's rows were drawn at random.
    predicted : Series, optional
        By question, in percent: the share that the quota alone gives for our ECGs.
    """
    predicted = pd.Series(dtype=float) if predicted is None else predicted
    quota: style.Look = {"marker": "|", "ms": 15, "mew": 2.5, "color": style.INK, "ls": ""}
    paper = paper.assign(ci_low=np.nan, ci_high=np.nan)
    both = pd.concat([bias_table.assign(source="ours"), paper.assign(source="paper")])
    places = both[["row", "column"]].drop_duplicates().sort_values("column", kind="stable")
    kinds = list(dict.fromkeys(places["column"]))
    colors = {k: _KINDS.get(k, style.SKY) for k in kinds}
    with style.use():
        fig = style.new_figure(7.6, 1.45 + 0.36 * len(places))
        ax = fig.subplots()
        ours = bias_table.set_index("row")
        theirs = paper.set_index("row")["value"]
        for y, (question, kind) in enumerate(places.itertuples(index=False)):
            cell = ours.loc[question] if question in ours.index else None
            if cell is not None and not cell["n"] < _FEW:
                ax.barh(y, cell["value"], 0.62, color=colors[kind])
                whisker(ax, cell, y=y)
            if question in theirs.index:
                ax.plot(theirs[question], y, **PAPER_LOOK)
            if question in predicted.index:
                ax.plot(predicted[question], y, **quota)
        if base_rate is not None:
            ax.axvline(base_rate, **LEVEL | {"lw": 1})
            ax.text(base_rate + 0.8, -0.78, "all our ECGs", fontsize=8, va="center")
        ax.set_yticks(range(len(places)), [wrap(q, 52) for q in places["row"]], fontsize=7.5)
        ax.set(xlim=(0, 100), ylim=(len(places) - 0.4, -1.1), xlabel="normal ECGs (%)")
        ax.grid(axis="y", visible=False)
        handles: list[Artist] = [
            Patch(color=c, label=f"{k} question, ours") for k, c in colors.items()
        ]
        handles.append(key("paper", **PAPER_LOOK))
        if len(predicted):
            handles.append(key("by the quota alone", **quota | {"ms": 9}))
        legend_above(fig, handles)
        text = (
            "Nobody asked these questions, and yet the bars differ. Two of three rows must answer "
        )
        text += "no, so broad questions collect normal ECGs and questions about a disease collect "
        text += f"ill ones. No bar: fewer than {_FEW} rows."
        style.caption(fig, text, label)
    return fig


def auc_dots(table: pd.DataFrame, label: str = "") -> Figure:
    """Plot zero-shot AUC by dataset and label: CLIP and LLM, ours filled, the paper's hollow.

    Parameters
    ----------
    table : DataFrame
        Tidy Table 4, both sources; row = "<method>, <dataset>", column = label. Cells without a
        value (too few positives) are left empty.
    """
    parts = table["row"].str.rsplit(", ", n=1, expand=True).set_axis(["method", "set"], axis=1)
    table = pd.concat([table, parts], axis=1)
    ours_of(table, "table 4")
    datasets = list(dict.fromkeys(table["set"]))
    methods = list(dict.fromkeys(table["method"]))
    palette = dict(
        zip(methods, (style.ORANGE, style.BLUE, style.GREEN, style.PURPLE), strict=False)
    )
    offset = {m: (i - (len(methods) - 1) / 2) * 0.3 for i, m in enumerate(methods)}
    labels = list(dict.fromkeys([*LABELS, *table["column"]]))
    lowest = np.nanmin(table[["value", "ci_low"]])
    columns = min(len(datasets), 4) if len(datasets) < 5 else 3
    lines = -(-len(datasets) // columns)
    with style.use():
        fig = style.new_figure(max(4.6, 1.1 + 1.75 * columns), 0.9 + 3.0 * lines)
        grid = fig.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for ax, dataset in zip(grid.ravel(), datasets, strict=False):
            for cell in table[table["set"] == dataset].dropna(subset="value").itertuples():
                y = labels.index(cell.column) + offset[cell.method]
                if cell.source == "paper":
                    ax.plot(cell.value, y, **{**PAPER_LOOK, "ms": 4.5, "mec": palette[cell.method]})
                    continue
                ax.plot([cell.ci_low, cell.ci_high], [y, y], color=palette[cell.method], lw=1.2)
                ax.plot(cell.value, y, "o", ms=5, color=palette[cell.method])
            ax.axvline(50, **LEVEL)
            ax.set_title(wrap(dataset, 18))
            ax.set(xlim=(min(28, lowest - 4), 104), ylim=(len(labels) - 0.5, -0.5))
            ax.set_yticks(range(len(labels)), labels)
        for ax in grid.ravel()[len(datasets) :]:
            ax.set_visible(False)
        for ax in grid.ravel()[max(0, len(datasets) - columns) : len(datasets)]:
            ax.set_xlabel("AUC (%)")
            ax.tick_params(labelbottom=True)
        in_paper = set(table.loc[table["source"] == "paper", "method"])
        handles = [key(f"{m}, ours", marker="o", ls="-", color=palette[m]) for m in methods]
        handles += [
            key(f"{m}, paper", **PAPER_LOOK | {"mec": palette[m]}) for m in methods if m in in_paper
        ]
        legend_above(fig, handles)
        text = (
            "Dots: AUC with 95 % intervals; dashed: chance. "
            "A data set used in training (other patients) is not zero-shot."
        )
        style.caption(fig, text, label)
    return fig

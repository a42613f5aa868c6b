"""Figure that compares simulated with real ECGs: quantiles of both, side by side."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecg_lib.errors import DataError
from ecg_lib.report import style
from ecg_lib.report.plot_helpers import key, legend_above
from ecg_lib.signal.leads import LEADS

_TITLES = {
    "RR": "RR interval",
    "PR": "PR interval",
    "QRS": "QRS duration",
    "QT": "QT interval",
    "axis": "frontal axis",
}
_COLORS = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE)
_NEEDED = {"feature", "unit", "source", "split", "p10", "p25", "p50", "p75", "p90"}


def simulator_quantiles(table: pd.DataFrame, label: str = "") -> Figure:
    """Plot quantiles of intervals and axis above, of R amplitudes in the 12 leads below.

    Parameters
    ----------
    table : DataFrame
        Result of `evaluation.distributions.quantile_table`: ms, degrees and mV, one row per
        feature, source and split.

    Raises
    ------
    DataError
        A column is missing, or a lead has no R amplitude.
    """
    missing = _NEEDED - set(table)
    if missing:
        raise DataError(f"quantiles: no column {sorted(missing)[0]}; pass quantile_table's table")
    amplitudes = [f"R {lead}" for lead in LEADS]
    drawn = table[table["feature"].isin([*_TITLES, *amplitudes])]
    if set(amplitudes) - set(drawn["feature"]):
        raise DataError("quantiles: the R waves of some leads are missing; measure all 12 leads")
    groups = list(drawn[["source", "split"]].drop_duplicates().itertuples(index=False, name=None))
    colors = dict(zip(groups, _COLORS, strict=False))
    cells = drawn.set_index(["feature", "source", "split"])
    with style.use():
        fig = style.new_figure(7.6, 4.6)
        above, below = fig.subfigures(2, 1, squeeze=False, height_ratios=(1, 1.5)).ravel()
        for ax, feature in zip(above.subplots(1, len(_TITLES)), _TITLES, strict=True):
            for i, group in enumerate(groups):
                _whisker(ax, cells.loc[(feature, *group)], i, colors[group])
            unit = cells.loc[(feature, *groups[0]), "unit"]
            ax.set(xlim=(-0.7, len(groups) - 0.3), xticks=[], ylabel=unit)
            ax.set_title(_TITLES[feature])
            ax.grid(axis="x", visible=False)
        ax = below.subplots()
        ax.axhline(0, color=style.QUIET, lw=0.8)
        for i, group in enumerate(groups):
            shift = 0.22 * (i - (len(groups) - 1) / 2)
            for x, feature in enumerate(amplitudes):
                _whisker(ax, cells.loc[(feature, *group)], x + shift, colors[group])
        ax.set_xticks(range(len(LEADS)), LEADS)
        ax.set(xlim=(-0.6, len(LEADS) - 0.4), xlabel="lead", ylabel="R amplitude (mV)")
        ax.grid(axis="x", visible=False)
        legend_above(
            fig, [key(", ".join(filter(None, g)), color=c, lw=3.2) for g, c in colors.items()]
        )
        text = (
            "Dots: medians of normal ECGs; thick: the middle half; thin: the middle 80 %. "
            "Where the bars of a lead do not overlap, the simulator is wrong."
        )
        style.caption(fig, text, label)
    return fig


def _whisker(ax: Axes, cell: pd.Series, x: float, color: str) -> None:
    """Draw one distribution at x: median, quartiles, first and last decile."""
    ax.plot([x, x], [cell["p10"], cell["p90"]], color=color, lw=1, solid_capstyle="butt")
    ax.plot([x, x], [cell["p25"], cell["p75"]], color=color, lw=3.2, solid_capstyle="butt")
    ax.plot(x, cell["p50"], "o", ms=4.2, mfc="white", mec=color, mew=1.3)

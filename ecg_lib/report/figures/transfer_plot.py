"""Figure of transfer from simulated to real ECGs: AUC of each finding, one panel per cohort."""

import pandas as pd
from matplotlib.figure import Figure

from ecg_lib.errors import DataError
from ecg_lib.report import style
from ecg_lib.report.plot_helpers import LEVEL, key, legend_above, wrap

_LOOKS = {
    ("mv", "head"): (style.BLUE, "o"),
    ("mv", "text"): (style.SKY, "s"),
    ("lead_minmax", "head"): (style.ORANGE, "o"),
    ("lead_minmax", "text"): (style.RED, "s"),
    ("mv ensemble", "head"): (style.BLUE, "^"),
    ("lead_minmax ensemble", "head"): (style.ORANGE, "^"),
    ("ensemble", "head"): (style.PURPLE, "^"),
}
_WORDS = {
    "mv": "mV kept",
    "lead_minmax": "per-lead min-max",
    "record_minmax": "record min-max",
    "mv ensemble": "mV kept, seeds together",
    "lead_minmax ensemble": "per-lead min-max, seeds together",
    "ensemble": "all encoders together",
    "head": "supervised head",
    "text": "zero-shot text",
}


def transfer_dots(table: pd.DataFrame, label: str = "") -> Figure:
    """Plot AUC and interval of every finding; colours show normalisation and reading.

    Parameters
    ----------
    table : DataFrame
        Rows are findings, columns "cohort, normalisation, reading", values in percent. Cells
        without a value (too few positives) are left empty.

    Raises
    ------
    DataError
        No cell has a value.
    """
    parts = (
        table["column"]
        .str.rsplit(", ", n=2, expand=True)
        .set_axis(["cohort", "normalisation", "reading"], axis=1)
    )
    cells = pd.concat([table, parts], axis=1).dropna(subset="value")
    if cells.empty:
        raise DataError("simulated to real: no finding has a value; evaluate more ECGs")
    cohorts = list(dict.fromkeys(cells["cohort"]))
    findings = [f for f in dict.fromkeys(table["row"]) if f in set(cells["row"])]
    pairs = dict.fromkeys(zip(cells["normalisation"], cells["reading"], strict=True))
    looks = {pair: _LOOKS.get(pair, (style.PURPLE, "^")) for pair in pairs}
    step = min(0.18, 0.85 / len(looks))
    offset = {k: step * (i - (len(looks) - 1) / 2) for i, k in enumerate(looks)}
    low = cells[["value", "ci_low"]].min(axis=None)
    with style.use():
        fig = style.new_figure(max(5.0, 1.2 + 2.1 * len(cohorts)), 1.3 + 0.24 * len(findings))
        axes = fig.subplots(1, len(cohorts), sharex=True, sharey=True, squeeze=False)[0]
        for ax, cohort in zip(axes, cohorts, strict=True):
            for cell in cells[cells["cohort"] == cohort].itertuples():
                pair = (cell.normalisation, cell.reading)
                color, marker = looks[pair]
                y = findings.index(cell.row) + offset[pair]
                ax.plot([cell.ci_low, cell.ci_high], [y, y], color=color, lw=1.0)
                ax.plot(cell.value, y, marker, ms=4, color=color)
            ax.axvline(50, **LEVEL)
            ax.set(xlim=(max(0, min(45, low - 3)), 101), ylim=(len(findings) - 0.5, -0.5))
            ax.set_xlabel("AUC (%)")
            ax.set_title(wrap(cohort, 22))
        axes[0].set_yticks(range(len(findings)), findings)
        handles = [
            key(
                ", ".join(_WORDS.get(part, part) for part in pair), color=color, marker=marker, ms=4
            )
            for pair, (color, marker) in looks.items()
        ]
        legend_above(fig, handles)
        text = (
            "Right of the dashed line (chance), what was learned from simulated ECGs carries\n"
            "over. Bars: 95 % intervals over patients. Only recorded cohorts are evidence."
        )
        style.caption(fig, text, label)
    return fig

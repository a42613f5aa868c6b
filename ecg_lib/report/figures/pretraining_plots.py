"""Figure of the pretraining study: macro AUC by fraction of the labels, one line per encoder."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ecg_lib.report import style
from ecg_lib.report.plot_helpers import LEVEL, key, legend_above

_LOOKS = {
    "scratch": (style.ORANGE, "s"),
    "simulated only": (style.SKY, "^"),
    "simulated": (style.BLUE, "o"),
    "boosting on hand features": (style.QUIET, "D"),
    "random frozen encoder": (style.INK, "x"),
    "trained from scratch on labels": (style.GREEN, "v"),
}
_WORDS = {
    "scratch": "from scratch on reports",
    "simulated only": "simulated ECGs only",
    "simulated": "simulated ECGs, then reports",
    "boosting on hand features": "boosting on hand features",
    "random frozen encoder": "random, frozen",
    "trained from scratch on labels": "from scratch on labels",
}
_SCALED = {"mv": "mV kept", "lead_minmax": "per-lead min-max", "record_minmax": "record min-max"}
_READING, _ZERO = "probe, ", "zero-shot"


def study_lines(table: pd.DataFrame, label: str = "") -> Figure:
    """Plot probes by fraction of the labels, and zero-shot AUC dashed, a panel per normalisation.

    Parameters
    ----------
    table : DataFrame
        `pretraining_study.csv`: rows "start, normalisation" and boosting, columns "zero-shot" and
        "probe, 10 %" (or another share). Other rows and columns are not drawn.
    """
    cells = table.dropna(subset="value")
    rows = {tuple(row.split(", ")): row for row in dict.fromkeys(cells["row"])}
    drawn = {
        key: row
        for key, row in rows.items()
        if len(key) == 2 and key[0] in _LOOKS and key[1] in _SCALED
    }
    panels = list(dict.fromkeys(scaled for _, scaled in drawn))
    starts = list(dict.fromkeys(start for start, _ in drawn))
    boosting = [row for key, row in rows.items() if len(key) == 1 and key[0] in _LOOKS]
    with style.use():
        fig = style.new_figure(max(4.6, 0.6 + 3.1 * len(panels)), 3.9)
        axes = fig.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for ax, scaled in zip(axes, panels, strict=True):
            ax.set(xlabel="share of training labels used", title=_SCALED[scaled])
            own = [(start, drawn[start, scaled]) for start in starts if (start, scaled) in drawn]
            own += [(row, row) for row in boosting]
            for k, (name, row) in enumerate(own):
                _line(ax, cells[cells["row"] == row], name, (k - (len(own) - 1) / 2) * 0.07)
        axes[0].set_ylabel("macro AUC of the superclasses (%)")
        names = starts + boosting
        if names:
            looks = ((_WORDS[name], *_LOOKS[name]) for name in names)
            handles = [key(word, color=c, marker=mark, ms=4.5) for word, c, mark in looks]
            legend_above(fig, [*handles, key("zero-shot", **LEVEL | {"lw": 1.1})])
        text = (
            "The higher a line, the better its encoder; encoders differ most with few labels.\n"
            "Bars: 95 % intervals over patients."
        )
        style.caption(fig, text, label)
    return fig


def _line(ax, cells: pd.DataFrame, name: str, shift: float) -> None:
    """Draw one encoder's probes with their intervals, and its zero-shot AUC across the panel."""
    color, marker = _LOOKS[name]
    probes = cells[cells["column"].str.startswith(_READING)]
    share = probes["column"].str.removeprefix(_READING).str.rstrip(" %").astype(float).to_numpy()
    x = np.log10(share) + shift
    ax.plot(x, probes["value"], marker=marker, ms=4.5, color=color)
    ax.vlines(x, probes["ci_low"], probes["ci_high"], color=color, lw=1.0)
    ax.set_xticks(np.log10(share), [f"{s:g} %" for s in share])
    for value in cells.loc[cells["column"] == _ZERO, "value"]:
        ax.axhline(value, **LEVEL | {"color": color, "lw": 1.1})

"""Dose-response figure: the cost of training on questions asked as in `nature`, by arm."""

import pandas as pd
from matplotlib.figure import Figure

from ecg_lib.arm_table import CONTROL, DEBIASED, PLAIN, WEIGHTED, WITHIN
from ecg_lib.report import style
from ecg_lib.report.ablation_tables import ALL_SEEDS, MEASURES
from ecg_lib.report.plot_helpers import LEVEL, key, legend_above, whisker

_UNITS = {
    "interventional accuracy": "accuracy (%)",
    "drop": "drop, random ECG (points)",
    "matched drop": "drop, ECG as ill (points)",
}
_LOOK = {
    DEBIASED.title: (style.BLUE, "o"),
    CONTROL.title: (style.ORANGE, "s"),
    WEIGHTED.title: (style.GREEN, "D"),
    WITHIN.title: (style.RED, "v"),
    PLAIN.title: (style.PURPLE, "^"),
}


def dose_response(table: pd.DataFrame, label: str = "") -> Figure:
    """Plot accuracy and both drops over the strength of `nature` in training, one line per arm.

    Parameters
    ----------
    table : DataFrame
        Tidy cells of `ablation_tables.dose_response`.
    """
    parts = (
        table["row"]
        .astype(str)
        .str.extract(r"^(?P<arm>.*), strength (?P<strength>[\d.]+), (?P<of>.*)$")
    )
    table = pd.concat([table, parts], axis=1).astype({"strength": float})
    arms = list(dict.fromkeys(table["arm"]))
    with style.use():
        fig = style.new_figure(7.2, 3.4)
        for ax, measure in zip(fig.subplots(1, 3), MEASURES, strict=True):
            for k, arm in enumerate(arms):
                color, mark = _LOOK[arm]
                own = table[(table["arm"] == arm) & (table["column"] == measure)]
                shift = 0.025 * (k - (len(arms) - 1) / 2)  # keeps the intervals apart
                means = own[own["of"] == ALL_SEEDS].sort_values("strength")
                each = own[own["of"] != ALL_SEEDS]
                ax.plot(each["strength"] + shift, each["value"], "_", ms=5, color=color, alpha=0.6)
                ax.plot(means["strength"] + shift, means["value"], mark, ls="-", ms=5, color=color)
                for _, cell in means.iterrows():
                    whisker(ax, cell, x=cell["strength"] + shift)
            ax.axhline(50 if measure == MEASURES[0] else 0, **LEVEL)
            ax.set(
                xlabel="strength of confounding",
                ylabel=_UNITS[measure],
                xlim=(-0.1, 1.1),
            )
        looks = ((arm, *_LOOK[arm]) for arm in arms)
        legend_above(fig, [key(arm, color=c, marker=mark, ms=5) for arm, c, mark in looks])
        text = (
            "Marks: mean of the seeds (ticks), 95 % interval over patients and seeds;\n"
            "dashed: nothing read from the ECG. Relying on the question lowers accuracy."
        )
        style.caption(fig, text, label)
    return fig

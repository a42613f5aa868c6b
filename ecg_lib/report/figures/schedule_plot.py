"""Figure of the paper's ablation: gain from de-biasing and from its control, by learning rate."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecg_lib.arm_table import CONTROL, DEBIASED, PLAIN
from ecg_lib.evaluation.random_ecg import DROP, ORIGINAL
from ecg_lib.report import style
from ecg_lib.report.plot_helpers import LEVEL, key, legend_above, whisker
from ecg_lib.report.schedule_table import ALL_SEEDS, gains_of, printed_gains

_LOOK = {DEBIASED: (style.BLUE, "o"), CONTROL: (style.ORANGE, "s")}
_PANELS = {
    ORIGINAL: "accuracy minus that of\nnot de-biased (points)",
    DROP: "random-ECG drop minus that of\nnot de-biased (points)",
}
_PRINTED = {"color": style.PAPER, "lw": 1.6, "ls": (0, (1, 1))}


def paper_schedule(table: pd.DataFrame, label: str = "") -> Figure:
    """Plot the gain over the arm without stage 1, in accuracy and drop, by stage-1 rate.

    Parameters
    ----------
    table : DataFrame
        Tidy cells of `schedule_table.schedule_table`.
    """
    printed = printed_gains()
    rates = sorted(set(gains_of(table, DEBIASED, PLAIN, ORIGINAL)["rate"]))
    with style.use():
        fig = style.new_figure(7.2, 3.6)
        for ax, (measure, unit) in zip(fig.subplots(1, 2), _PANELS.items(), strict=True):
            for k, (arm, look) in enumerate(_LOOK.items()):
                gains = gains_of(table, arm, PLAIN, measure)
                shift = 1.06 if k else 1 / 1.06  # keeps intervals apart on a log axis
                _draw(ax, gains.assign(rate=gains["rate"] * shift), *look)
            ax.axhline(0, **LEVEL)
            ax.axhline(printed[measure], **_PRINTED)
            ax.set(xscale="log", xlabel="learning rate of stage 1 (stage 2: a fifth)", ylabel=unit)
            ax.set_xticks(rates, [f"{rate:g}" for rate in rates])
            ax.set_xticks([], minor=True)
            ax.set_xlim(rates[0] / 1.6, rates[-1] * 1.6)
        looks = [key(arm.title, color=c, marker=mark, ms=5) for arm, (c, mark) in _LOOK.items()]
        legend_above(fig, [*looks, key("de-biased, as published", **_PRINTED)])
        text = (
            "Severity does not decide these questions. 'Not de-biased' has no stage 1, as in the "
            "paper. Marks: mean of the seeds (ticks), 95 % interval over patients and seeds; "
            "dashed: no gain. A gain that the control shares is not due to pairs."
        )
        style.caption(fig, text, label)
    return fig


def _draw(ax: Axes, gains: pd.DataFrame, color: str, mark: str) -> None:
    means, each = gains[gains["of"] == ALL_SEEDS], gains[gains["of"] != ALL_SEEDS]
    ax.plot(each["rate"], each["value"], "_", ms=5, color=color, alpha=0.6)
    ax.plot(means["rate"], means["value"], mark, ls="-", ms=5, color=color)
    for _, cell in means.iterrows():
        whisker(ax, cell, x=cell["rate"])

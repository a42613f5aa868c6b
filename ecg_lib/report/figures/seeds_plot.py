"""Figure of arm differences over seeds: where seeds agree, and where one run would mislead."""

import pandas as pd
from matplotlib.figure import Figure

from ecg_lib.arm_table import ARMS, comparisons, difference
from ecg_lib.evaluation.random_ecg import ORIGINAL, VERIFY
from ecg_lib.evaluation.severity_strata import WITHIN
from ecg_lib.report import style
from ecg_lib.report.arm_seeds_table import INTERVENTIONAL, MEAN, RANGE
from ecg_lib.report.plot_helpers import LEVEL, key, legend_above

_PANELS = {
    ORIGINAL: "questions of Table 5",
    INTERVENTIONAL: "interventional test",
    WITHIN: "ill patients only",
}
_COLORS = dict(zip(VERIFY, (style.BLUE, style.ORANGE, style.GREEN), strict=True))


def arm_seeds(table: pd.DataFrame, label: str = "") -> Figure:
    """Plot each comparison of arms, by question type: mean, interval, and a tick per seed.

    Parameters
    ----------
    table : DataFrame
        Tidy cells of `arm_seeds_table.seeds_table`.
    """
    parts = (
        table["row"].astype(str).str.extract(r"^(?P<who>.+), (?P<measure>[^,]+), (?P<of>[^,]+)$")
    )
    cells = pd.concat([table.drop(columns="row"), parts], axis=1)
    pairs = [difference(a, b) for a, b in comparisons(ARMS)]
    shown = [pair for pair in pairs if pair in set(cells["who"])]
    height = 1.6 + 0.55 * len(shown)
    with style.use():
        fig = style.new_figure(7.2, height)
        for ax, (measure, title) in zip(
            fig.subplots(1, len(_PANELS), sharey=True), _PANELS.items(), strict=True
        ):
            own = cells[(cells["measure"] == measure) & (cells["of"] != RANGE)]
            ax.axvline(0, **LEVEL)
            for k, (kind, color) in enumerate(_COLORS.items()):
                for row, pair in enumerate(shown):
                    of_pair = own[(own["who"] == pair) & (own["column"] == kind)]
                    y = row + 0.24 * (k - 1)
                    each = of_pair[of_pair["of"] != MEAN]
                    ax.plot(each["value"], [y] * len(each), "|", ms=6, color=color, alpha=0.7)
                    for cell in of_pair[of_pair["of"] == MEAN].itertuples():
                        ax.plot([cell.ci_low, cell.ci_high], [y, y], color=color, lw=1.2)
                        ax.plot(cell.value, y, "o", ms=4.5, color=color)
            ax.set_yticks(range(len(shown)), shown)
            ax.set(title=title, xlabel="difference (points)")
        ax.invert_yaxis()
        legend_above(fig, [key(kind, color=c, marker="o", ms=4.5) for kind, c in _COLORS.items()])
        text = (
            "Dots: mean over seeds with its 95 % interval over patients and seeds; ticks: single "
            "seeds. Where ticks lie on both sides of the dashed line, a single run proves nothing."
        )
        style.caption(fig, text, label)
    return fig

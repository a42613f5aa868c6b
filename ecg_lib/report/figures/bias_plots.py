"""Figure of the audit: what each de-biasing method balances, and what it leaves unbalanced."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecg_lib.errors import DataError
from ecg_lib.questions.audit import METHODS
from ecg_lib.report import style
from ecg_lib.report.plot_helpers import LEVEL, key, legend_above

_KINDS = {"broad": style.BLUE, "specific": style.ORANGE, "noise": style.GREEN}
_NAMES = {
    "as asked": "as asked",
    "pairs": "pairs",
    "strata": "strata\nof severity",
    "weights": "weights\nby severity",
    "control": "control,\nunpaired",
}
_TEXT = (
    "Left: each dot is a question; if all dots of a method coincide, the question does not give "
    "its answer away.\nRight: if all kinds coincide, the question does not give severity away. "
    "Bars: 95 % intervals (none if the method fixes the share)."
)


def debias_audit(
    by_question: pd.DataFrame, by_kind: pd.DataFrame, base: float, label: str = ""
) -> Figure:
    """Plot P(yes | question) (left) and the share of normal ECGs by kind (right), by method.

    Parameters
    ----------
    by_question, by_kind : DataFrame
        Both forms of :func:`ecg_lib.questions.audit.audit_methods`, shares as fractions. Only
        broad, specific and noise questions about one ECG are drawn.
    base : float
        Share of normal ECGs among all of our ECGs, as a fraction.
    label : str
        What our numbers come from, printed in the caption.

    Raises
    ------
    DataError
        There is no question of these kinds.
    """
    dots = by_question[by_question["kind"].isin(_KINDS)].dropna(subset="yes_rate")
    marks = by_kind[by_kind["kind"].isin(_KINDS)].dropna(subset="normal_ratio")
    if dots.empty or marks.empty:
        raise DataError(
            "audit figure: no broad, specific or noise question to draw; show other kinds as text"
        )
    methods = [m for m in METHODS if m in set(by_kind["method"])]
    kinds = [k for k in _KINDS if k in set(marks["kind"])]
    with style.use():
        fig = style.new_figure(7.6, 1.5 + 0.62 * len(methods))
        left, right = fig.subplots(1, 2, sharey=True)
        level = LEVEL | {"lw": 1}
        for y, method in enumerate(methods):
            _spread(left, y, dots[dots["method"] == method], kinds)
            _ratios(right, y, marks[marks["method"] == method], kinds)
        right.axvline(100 * base, **level)
        left.set_title("Answers")
        right.set_title("Severity")
        left.set(xlim=(-3, 103), xlabel="rows answered yes, per question (%)")
        right.set(xlim=(-3, 103), xlabel="normal ECGs, per kind of question (%)")
        left.set_yticks(range(len(methods)), [_NAMES[m] for m in methods])
        left.set_ylim(len(methods) - 0.5, -0.5)
        for ax in (left, right):
            ax.grid(axis="y", visible=False)
        dot = {"marker": "o", "ls": "", "ms": 5}
        handles = [key(f"{k} questions", color=_KINDS[k], **dot) for k in kinds]
        legend_above(fig, [*handles, key("all our ECGs", **level)])
        style.caption(fig, _TEXT, label)
    return fig


def _spread(ax: Axes, y: int, dots: pd.DataFrame, kinds: list[str]) -> None:
    """Draw a method's questions: one lane per kind, with its range and a dot per question."""
    for lane, kind in _lanes(kinds):
        share = 100 * dots.loc[dots["kind"] == kind, "yes_rate"].to_numpy()
        if not len(share):
            continue
        ax.plot([share.min(), share.max()], [y + lane] * 2, color=_KINDS[kind], lw=0.8, alpha=0.6)
        ax.plot(
            share, np.full(len(share), y + lane), "o", ms=4, mew=0, color=_KINDS[kind], alpha=0.45
        )


def _ratios(ax: Axes, y: int, marks: pd.DataFrame, kinds: list[str]) -> None:
    """Draw a method's share of normal ECGs for each kind, with its interval."""
    for lane, kind in _lanes(kinds):
        for r in marks[marks["kind"] == kind].itertuples():
            ends = [100 * r.normal_low, 100 * r.normal_high]
            ax.plot(ends, [y + lane] * 2, color=_KINDS[kind], lw=1.4)
            ax.plot(100 * r.normal_ratio, y + lane, "o", ms=5.5, color=_KINDS[kind])


def _lanes(kinds: list[str]) -> list[tuple[float, str]]:
    return [(0.22 * (i - (len(kinds) - 1) / 2), kind) for i, kind in enumerate(kinds)]

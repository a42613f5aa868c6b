"""Plane of two drops: how much an answerer reads from the ECG, and how much beyond illness."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecg_lib.arm_table import ARMS
from ecg_lib.errors import DataError
from ecg_lib.report import style
from ecg_lib.report.plot_helpers import legend_above

_PARTS = r"^(?P<who>.*), (?P<donor>random|matched) drop$"
_COLORS = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.RED, style.SKY)
_MARKS = "osD^vPX"
_TEXT = (
    "Across: accuracy lost with a random ECG; up: with an equally ill patient's "
    "(95\N{NO-BREAK SPACE}% intervals).\n"
    "Dashed line: all that is read goes beyond illness. Bottom line: only illness is read.\n"
    "Hollow: readers that see no ECG, only whether it is normal, or all its labels."
)


def points(table: pd.DataFrame, column: str = "S-Verify") -> pd.DataFrame:
    """Return both drops of each answerer, in table order: x, y and the ends of their intervals.

    Raises
    ------
    DataError
        No answerer has both drops.
    """
    parts = table["row"].astype(str).str.extract(_PARTS)
    own = pd.concat([table, parts], axis=1).dropna(subset=["who", "value"])
    own = own[own["column"] == column]
    order = list(dict.fromkeys(own["who"]))
    wide = own.pivot(index="who", columns="donor", values=["value", "ci_low", "ci_high"])
    wide = wide.reindex(
        columns=pd.MultiIndex.from_product([("value", "ci_low", "ci_high"), ("random", "matched")])
    )
    wide.columns = ["x", "y", "x_low", "y_low", "x_high", "y_high"]
    found = wide.reindex(order).dropna(subset=["x", "y"]).astype(float)
    if found.empty:
        raise DataError(
            f"drop plane: nothing has both a random and a matched drop for {column}; measure both"
        )
    return found


def drop_plane(
    table: pd.DataFrame,
    label: str = "",
    column: str = "S-Verify",
    models: Sequence[str] | None = None,
) -> Figure:
    """Plot the severity-matched drop over the random drop: arms filled, anchors hollow.

    Parameters
    ----------
    table : DataFrame
        Tidy cells of `severity_drops`: rows "<who>, random drop" and "<who>, matched drop". An
        answerer named in `models` is drawn filled, any other as an anchor.
    column : str
        Question type to draw.
    models : sequence of str, optional
        The titles of all arms by default.
    """
    found = points(table, column)
    titles = set(models or [arm.title for arm in ARMS.values()])
    arms = [who for who in found.index if who in titles]
    with style.use_for_names():
        fig = style.new_figure(5.8, 6.2)
        ax = fig.subplots()
        ends = found[["x_low", "x_high", "y_low", "y_high", "x", "y"]].to_numpy()
        low, high = min(-3.0, np.nanmin(ends) - 2), max(10.0, np.nanmax(ends) + 4)
        ax.plot([low, high], [low, high], color=style.INK, lw=0.9, ls=(0, (4, 2)), zorder=1)
        ax.axhline(0, color=style.INK, lw=0.9, zorder=1)
        ax.axvline(0, color=style.FAINT, lw=0.9, zorder=1)
        handles = []
        for k, who in enumerate(arms):
            look: style.Look = {
                "color": _COLORS[k % len(_COLORS)],
                "marker": _MARKS[k % len(_MARKS)],
            }
            _cross(ax, found.loc[who], look["color"])
            handles += ax.plot(
                *found.loc[who, ["x", "y"]], **look, ms=7, ls="", label=who, zorder=4
            )
        for (x, y), names in _together(found.drop(index=arms), 0.09 * (high - low)).items():
            for name in names:
                _cross(ax, found.loc[name], style.QUIET)
                ax.plot(
                    *found.loc[name, ["x", "y"]],
                    "D",
                    ms=7,
                    mfc="white",
                    mec=style.INK,
                    mew=1.2,
                    zorder=5,
                )
            right = x > low + 0.6 * (high - low)  # keeps names inside the plane
            ax.annotate(
                "\n".join(names),
                (x, _above(found.loc[arms], x, y, len(names), high - low)),
                (-8 if right else 8, 7),
                textcoords="offset points",
                ha="right" if right else "left",
                va="bottom",
                fontsize=8.5,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
                zorder=6,
            )
        ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        ax.set_xlabel(f"drop with a random ECG (points, {column})")
        ax.set_ylabel("drop with an equally ill patient's ECG (points)")
        if handles:
            legend_above(fig, handles)
        style.caption(fig, _TEXT, label)
    return fig


def _above(arms: pd.DataFrame, x: float, y: float, lines: int, span: float) -> float:
    """Return the height from which a label at (x, y) hides no arm: y, or above those in its way."""
    wide, high = 0.28 * span, 0.05 * span * lines
    for _ in range(len(arms)):
        hidden = arms[arms["x"].between(x, x + wide) & arms["y"].between(y, y + high)]
        if hidden.empty:
            break
        y = float(hidden["y"].max()) + 0.01 * span
    return y


def _cross(ax: Axes, point: pd.Series, color: str) -> None:
    """Draw both intervals of a point as thin lines."""
    look: style.Look = {"color": color, "lw": 1.1, "zorder": 3, "solid_capstyle": "butt"}
    ax.plot([point["x_low"], point["x_high"]], [point["y"]] * 2, **look)
    ax.plot([point["x"]] * 2, [point["y_low"], point["y_high"]], **look)


def _together(found: pd.DataFrame, near: float) -> dict[tuple[float, float], list[str]]:
    """Group names by place, from left to right; those within `near` points share a label."""
    places: dict[tuple[float, float], list[str]] = {}
    for who, point in found.sort_values("x", kind="stable").iterrows():
        x, y = float(point["x"]), float(point["y"])
        at = next((p for p in places if max(abs(p[0] - x), abs(p[1] - y)) <= near), (x, y))
        places.setdefault(at, []).append(str(who))
    return places

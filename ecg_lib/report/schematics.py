"""Shapes shared by the drawn figures: boxes, arrows, a toy ECG, rows of tokens. Units: inches."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from numpy.typing import NDArray

from ecg_lib.report.style import INK, QUIET, Look

# A toy heartbeat, for the drawings only: centre and width (s), height (mV) of P, Q, R, S, T.
_WAVES = (
    (0.16, 0.025, 0.13),
    (0.275, 0.009, -0.12),
    (0.30, 0.012, 1.1),
    (0.325, 0.010, -0.25),
    (0.52, 0.045, 0.28),
)


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """Create a figure with a single, invisible axes measured in inches."""
    fig = Figure(figsize=(width, height))
    fig.set_layout_engine(PlaceHolderLayoutEngine(True, False))  # all positions are explicit
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.axis("off")
    return fig, ax


def headed(ax: Axes, x: float, y: float, letter: str, title: str, gap: float = 0.22) -> None:
    """Write the letter of a panel, and its title `gap` to the right."""
    ax.text(x, y, letter, fontsize=12, weight="bold", va="center")
    ax.text(x + gap, y, title, fontsize=10, weight="bold", va="center")


def frame(
    ax: Axes, x: float, y: float, width: float, height: float, rounding: float = 0.08, **look
) -> None:
    """Draw a rounded frame around other shapes or behind them."""
    rounded = f"round,pad=0,rounding_size={rounding}"
    ax.add_patch(FancyBboxPatch((x, y), width, height, rounded, **look))


def box(
    ax: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    text: str = "",
    face: str = "white",
    edge: str = INK,
    **text_style,
) -> None:
    """Draw a rounded box with centred text."""
    frame(ax, x, y, width, height, 0.06, fc=face, ec=edge, lw=1.0)
    style: Look = {
        "ha": "center",
        "va": "center",
        "fontsize": 8.5,
        "color": INK,
        "linespacing": 1.3,
    }
    ax.text(x + width / 2, y + height / 2, text, **style | text_style)


def arrow(
    ax: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    color: str = INK,
    width: float = 1.2,
    dashed: bool = False,
    head: bool = True,
) -> None:
    """Draw a straight arrow from start to end."""
    ax.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>" if head else "-",
            mutation_scale=9 + 1.2 * width,
            shrinkA=0,
            shrinkB=0,
            color=color,
            linewidth=width,
            linestyle=(0, (4, 2.5)) if dashed else "-",
        )
    )


def label(ax: Axes, x: float, y: float, text: str, **style) -> None:
    """Write small grey text."""
    ax.text(x, y, text, **{"fontsize": 8, "color": QUIET, "ha": "center", "va": "center", **style})


def toy_ecg(seconds: float = 2.5, rate: float = 75.0, hz: int = 200) -> tuple[NDArray, NDArray]:
    """Return time (s) and voltage (mV) of a schematic lead, for drawings only."""
    t = np.arange(int(seconds * hz)) / hz
    phase = t % (60.0 / rate)
    mv = sum(h * np.exp(-((phase - c) ** 2) / (2 * w**2)) for c, w, h in _WAVES)
    return t, np.asarray(mv)


def ecg_tile(ax: Axes, x: float, y: float, width: float, height: float) -> None:
    """Draw a tile of pink ECG paper with three schematic leads."""
    for step, alpha in ((0.1, 0.5), (0.5, 1.0)):
        for at in np.arange(0, width + 1e-9, step):
            ax.plot([x + at] * 2, [y, y + height], color="#f3cfcf", lw=0.5 * alpha, zorder=1)
        for at in np.arange(0, height + 1e-9, step):
            ax.plot([x, x + width], [y + at] * 2, color="#f3cfcf", lw=0.5 * alpha, zorder=1)
    ax.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor="#d99", lw=0.9))
    t, mv = toy_ecg()
    for row, share in enumerate((1, -0.6, 0.85)):
        per_mv = 0.5 * height / 3 * share
        base = y + height * (1 - (row + (0.7 if share > 0 else 0.4)) / 3)
        ax.plot(x + 0.04 + t / t[-1] * (width - 0.08), base + mv * per_mv, color=INK, lw=0.8)


def tokens(
    ax: Axes,
    x: float,
    y: float,
    count: int,
    color: str,
    size: tuple[float, float] = (0.1, 0.3),
    gap: float = 0.035,
) -> float:
    """Draw a row of `count` token bars and return the x position where it ends."""
    for i in range(count):
        ax.add_patch(
            Rectangle((x + i * (size[0] + gap), y), *size, facecolor=color, edgecolor=INK, lw=0.6)
        )
    return x + count * (size[0] + gap) - gap

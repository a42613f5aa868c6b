"""One look for all figures: colour-blind-safe, readable at column width, reproducible bytes.

Colours (Okabe and Ito) keep their meaning throughout: blue is ours, grey is the paper's. In the
drawings, orange marks what is trained and blue what is frozen.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler

from ecg_lib.disk import write_file

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

Look = dict[str, Any]  # keyword arguments of what matplotlib draws

INK, QUIET, FAINT = "#222222", "#6b6b6b", "#d9d9d9"
BLUE, ORANGE, GREEN, RED, SKY, PURPLE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
)
OURS, PAPER = BLUE, "#8c8c8c"
DPI = 150
_LETTERS = 16  # characters of a caption per inch
TIMES = "\N{MULTIPLICATION SIGN}"

STYLE: Mapping[RcKeyType, Any] = {
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "savefig.dpi": DPI,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",  # ships with matplotlib, so text looks the same everywhere
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#ebebeb",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "hatch.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, RED, PURPLE, SKY]),
    "mathtext.fontset": "dejavusans",
}


def use():
    """Return a context manager in which figures have the project's look."""
    return matplotlib.rc_context(dict(STYLE))


def use_for_names():
    """Return the same context for a figure that shows names of others, in which "$" is a sign."""
    return matplotlib.rc_context({**STYLE, "text.parse_math": False})


def new_figure(width: float, height: float) -> Figure:
    """Create an empty figure, sized in inches and unknown to pyplot (nothing to close)."""
    return Figure(figsize=(width, height), layout="constrained")


def caption(fig: Figure, text: str, label: str = "") -> None:
    """Write under the figure what to see in it, and where our numbers come from.

    Lines wider than the figure are wrapped; line breaks in the text stay.
    """
    whole = text if not label else f"{text}\nOur numbers: {label}."
    wide = round(_LETTERS * fig.get_figwidth())
    lines = [part for line in whole.split("\n") for part in textwrap.wrap(line, wide) or [""]]
    look: Look = {"fontsize": 8, "color": QUIET, "linespacing": 1.4, "parse_math": False}
    fig.supxlabel("\n".join(lines), x=0.01, ha="left", **look)


def save(fig: Figure, folder: Path, name: str) -> Path:
    """Write <name>.png (150 dpi) atomically and without dates, and close the figure.

    The same figure gives the same bytes, so git shows a change only if the figure changed.
    """
    path = folder / f"{name}.png"
    # a figure without a layout engine (an ECG true to scale) must not be given one here
    with matplotlib.rc_context({**STYLE, "figure.constrained_layout.use": False}):
        write_file(path, partial(fig.savefig, dpi=DPI, metadata={"Software": None}))
    plt.close(fig)  # releases a figure made through pyplot; does nothing to any other
    return path

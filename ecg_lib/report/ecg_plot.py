"""The ECG as a cardiologist reads it: red paper, 25 mm/s, 10 mm/mV, true to scale.

Every figure is sized so that a millimetre of paper is a millimetre of the page (print the PDF
without scaling). Nothing in a figure depends on the clock, so equal ECGs give equal files.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from ecg_lib.signal.leads import LEADS

SPEED = 25.0  # mm/s
GAIN = 10.0  # mm/mV
CAPTION = "25 mm/s, 10 mm/mV. Small square 1 mm: 0.04 s, 0.1 mV. Step at the left: 1 mV, 0.2 s."
LAYOUTS = ("3x4+rhythm", "12x1")

_MARGIN = 6.0  # mm around the paper
_LEFT = 12.5  # mm for the calibration pulse
_HEAD, _FOOT = 9.0, 7.0  # mm for title and caption
_COLUMNS = (("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))
_FINE, _COARSE, _TRACE = "#f7d3d6", "#eaa3a9", "#1a1a1a"


def plot_ecg(
    signal_mv: np.ndarray,
    fs: float = 100,
    title: str = "",
    leads: Sequence[str] = LEADS,
    layout: str = "3x4+rhythm",
) -> Figure:
    """Draw one 12-lead ECG on paper.

    Parameters
    ----------
    signal_mv : array (12, T), mV; samples that are not finite leave a gap
    fs : sampling rate, Hz
    title : line above the paper
    leads : names of the rows of `signal_mv`; must contain the twelve of `LEADS`
    layout : "3x4+rhythm" (four columns of a quarter of the time, lead II in full below) or "12x1"
        (each lead in full, one below the other)

    Returns
    -------
    matplotlib Figure, independent of pyplot: nothing to close

    Raises
    ------
    ValueError : wrong shape, missing lead or unknown layout
    """
    data = _by_lead(signal_mv, leads)
    width, height = _paper(data, fs, layout)
    figure = _figure(width + 2 * _MARGIN, height + _HEAD + _FOOT)
    _draw(figure, data, fs, title, layout, width, height, _FOOT)
    _caption(figure)
    return figure


def plot_pair(
    first: np.ndarray,
    second: np.ndarray,
    fs: float = 100,
    titles: Sequence[str] = ("First ECG", "Second ECG"),
    leads: Sequence[str] = LEADS,
    layout: str = "3x4+rhythm",
) -> Figure:
    """Draw two ECGs (12, T) in mV on one page, the first above the second; see `plot_ecg`."""
    above, below = _by_lead(first, leads), _by_lead(second, leads)
    sizes = [_paper(data, fs, layout) for data in (above, below)]
    width = max(w for w, _ in sizes) + 2 * _MARGIN
    figure = _figure(width, sum(h for _, h in sizes) + 2 * _HEAD + _FOOT)
    _draw(figure, below, fs, titles[1], layout, *sizes[1], _FOOT)
    _draw(figure, above, fs, titles[0], layout, *sizes[0], _FOOT + sizes[1][1] + _HEAD)
    _caption(figure)
    return figure


def _by_lead(signal_mv: np.ndarray, leads: Sequence[str]) -> dict[str, np.ndarray]:
    signal = np.asarray(signal_mv, dtype=float)
    if signal.ndim != 2 or len(signal) != len(leads):
        raise ValueError(f"signal is {signal.shape}; expected ({len(leads)}, T) for its leads")
    if missing := [lead for lead in LEADS if lead not in leads]:
        raise ValueError(f"lead {', '.join(missing)} missing; cannot draw a 12-lead ECG")
    return {lead: signal[list(leads).index(lead)] for lead in LEADS}


def _paper(data: dict[str, np.ndarray], fs: float, layout: str) -> tuple[float, float]:
    """Width and height of the paper in mm, whole 5 mm squares."""
    if layout not in LAYOUTS:
        raise ValueError(f"unknown layout {layout!r}; known are {', '.join(LAYOUTS)}")
    seconds = len(data["I"]) / fs
    width = np.ceil((_LEFT + SPEED * seconds + 2.5) / 5) * 5
    return float(width), 110.0 if layout == "3x4+rhythm" else 205.0


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width / 25.4, height / 25.4), dpi=150, facecolor="white")


def _caption(figure: Figure) -> None:
    across, high = (25.4 * size for size in figure.get_size_inches())
    figure.text(_MARGIN / across, 2.5 / high, CAPTION, fontsize=7, color="#444444", va="bottom")


def _draw(
    figure: Figure,
    data: dict[str, np.ndarray],
    fs: float,
    title: str,
    layout: str,
    width: float,
    height: float,
    bottom: float,
) -> None:
    """Draw one sheet of paper; axes are in mm with the origin at the lower left."""
    across, high = (25.4 * size for size in figure.get_size_inches())
    axes = figure.add_axes((_MARGIN / across, bottom / high, width / across, height / high))
    axes.set(xlim=(0, width), ylim=(0, height), xticks=[], yticks=[])
    paper_grid(axes, width, height)
    axes.set_title(title, fontsize=9, loc="left", pad=4)
    count = len(data["I"])
    if layout == "12x1":
        for row, lead in enumerate(LEADS):
            draw_trace(axes, data[lead], 0, fs, height - 15 - 16 * row, lead)
        return
    quarter = count // 4
    for row in range(3):
        level = height - 17.5 - 25 * row
        _pulse(axes, level)
        for column, names in enumerate(_COLUMNS):
            start, stop = column * quarter, (column + 1) * quarter if column < 3 else count
            piece = data[names[row]][start:stop]
            draw_trace(axes, piece, start, fs, level, names[row], pulse=False)
            if column:
                x = _LEFT + SPEED * start / fs
                axes.plot([x, x], [level - 5, level + 5], color=_TRACE, lw=0.5)
    draw_trace(axes, data["II"], 0, fs, 15.0, "II")


def paper_grid(axes: Axes, width: float, height: float) -> None:
    """Red paper on axes in mm."""
    for step, colour, thick in ((1, _FINE, 0.3), (5, _COARSE, 0.55)):
        x, y = np.arange(0, width + 0.5, step), np.arange(0, height + 0.5, step)
        lines = [[(v, 0), (v, height)] for v in x] + [[(0, v), (width, v)] for v in y]
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=thick, zorder=0))
    for spine in axes.spines.values():
        spine.set(color=_COARSE, linewidth=0.6)


def draw_trace(
    axes: Axes, mv: np.ndarray, start: int, fs: float, level: float, name: str, pulse: bool = True
) -> None:
    """One lead: `start` is its first sample's place in the recording, `level` its zero line, mm."""
    if pulse:
        _pulse(axes, level)
    x = _LEFT + SPEED * (start + np.arange(len(mv))) / fs
    axes.plot(x, level + GAIN * mv, color=_TRACE, lw=0.7, solid_joinstyle="round")
    place = (x[0] + 1.0 if len(x) else _LEFT, level + 6.5)
    axes.text(*place, name, fontsize=8, weight="bold", color=_TRACE, va="bottom")


def _pulse(axes: Axes, level: float) -> None:
    """Calibration: 1 mV for 0.2 s."""
    high, long = level + GAIN * 1.0, SPEED * 0.2
    x = [3, 5, 5, 5 + long, 5 + long, 7 + long]
    axes.plot(x, [level, level, high, high, level, level], color=_TRACE, lw=0.7)

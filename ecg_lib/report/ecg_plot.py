"""Plots of ECGs as a cardiologist reads them: red paper, 25 mm/s, 10 mm/mV, true to scale.

Every figure is sized so that a millimetre of ECG paper is a millimetre on the page (print the PDF
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

_MARGIN, _HEIGHT = 6.0, 110.0  # mm: margin around the paper, height of the paper
_LEFT = 12.5  # mm for the calibration pulse
_HEAD, _FOOT = 9.0, 7.0  # mm: title, caption
_COLUMNS = (("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"), ("V4", "V5", "V6"))
_FINE, _COARSE, _TRACE = "#f7d3d6", "#eaa3a9", "#1a1a1a"


def plot_ecg(signal_mv: np.ndarray, fs: float = 100, title: str = "") -> Figure:
    """Draw one 12-lead ECG on paper.

    Each column of leads shows a quarter of the recording; lead II runs along the bottom.

    Parameters
    ----------
    signal_mv : (12, T) array, mV
        Leads in the order of `LEADS`; samples that are not finite leave a gap.
    fs : float
        Sampling rate, Hz.
    title : str
        Line above the paper.

    Returns
    -------
    Figure
        Independent of pyplot, so there is nothing to close.

    Raises
    ------
    ValueError
        The signal does not have shape (12, T).
    """
    return _page([signal_mv], fs, [title])


def plot_pair(
    first: np.ndarray, second: np.ndarray, fs: float = 100, titles: Sequence[str] = ("", "")
) -> Figure:
    """Draw two ECGs (12, T) in mV on one page, the first above the second; see `plot_ecg`."""
    return _page([first, second], fs, titles)


def _page(ecgs: Sequence[np.ndarray], fs: float, titles: Sequence[str]) -> Figure:
    """Draw sheets of paper one below the other, with a caption that states the scale."""
    signals = [np.asarray(ecg, dtype=float) for ecg in ecgs]
    for signal in signals:
        if signal.ndim != 2 or len(signal) != len(LEADS):
            raise ValueError(
                f"signal has shape {signal.shape}; expected ({len(LEADS)}, T), one row per lead"
            )
    long = max(_width(signal, fs) for signal in signals) + 2 * _MARGIN
    high = len(signals) * (_HEIGHT + _HEAD) + _FOOT
    figure = Figure(figsize=(long / 25.4, high / 25.4), dpi=150, facecolor="white")
    for place, (signal, title) in enumerate(zip(signals, titles, strict=True), start=1):
        width, bottom = _width(signal, fs), high - place * (_HEIGHT + _HEAD)
        axes = figure.add_axes((_MARGIN / long, bottom / high, width / long, _HEIGHT / high))
        axes.set(xlim=(0, width), ylim=(0, _HEIGHT), xticks=[], yticks=[])
        paper_grid(axes, width, _HEIGHT)
        axes.set_title(title, fontsize=9, loc="left", pad=4, parse_math=False)
        _draw(axes, dict(zip(LEADS, signal, strict=True)), fs)
    figure.text(_MARGIN / long, 2.5 / high, CAPTION, fontsize=7, color="#444444", va="bottom")
    return figure


def _width(signal: np.ndarray, fs: float) -> float:
    """Return the width of a sheet in mm, rounded up to whole 5 mm squares."""
    return float(np.ceil((_LEFT + SPEED * signal.shape[1] / fs + 2.5) / 5) * 5)


def _draw(axes: Axes, data: dict[str, np.ndarray], fs: float) -> None:
    """Draw the leads on axes in mm, with the origin at the lower left."""
    count = len(data["I"])
    quarter = count // 4
    for row in range(3):
        level = _HEIGHT - 17.5 - 25 * row
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
    """Draw the red grid of ECG paper on axes in mm."""
    for step, colour, thick in ((1, _FINE, 0.3), (5, _COARSE, 0.55)):
        x, y = np.arange(0, width + 0.5, step), np.arange(0, height + 0.5, step)
        lines = [[(v, 0), (v, height)] for v in x] + [[(0, v), (width, v)] for v in y]
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=thick, zorder=0))
    for spine in axes.spines.values():
        spine.set(color=_COARSE, linewidth=0.6)


def draw_trace(
    axes: Axes, mv: np.ndarray, start: int, fs: float, level: float, name: str, pulse: bool = True
) -> None:
    """Draw one lead; `start` is the index of its first sample, `level` its zero line in mm."""
    if pulse:
        _pulse(axes, level)
    x = _LEFT + SPEED * (start + np.arange(len(mv))) / fs
    axes.plot(x, level + GAIN * mv, color=_TRACE, lw=0.7, solid_joinstyle="round")
    place = (x[0] + 1.0 if len(x) else _LEFT, level + 6.5)
    axes.text(*place, name, fontsize=8, weight="bold", color=_TRACE, va="bottom")


def _pulse(axes: Axes, level: float) -> None:
    """Draw the calibration pulse: 1 mV for 0.2 s."""
    high, long = level + GAIN * 1.0, SPEED * 0.2
    x = [3, 5, 5, 5 + long, 5 + long, 7 + long]
    axes.plot(x, [level, level, high, high, level, level], color=_TRACE, lw=0.7)

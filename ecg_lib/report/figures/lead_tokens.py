"""Drawing of K-MERL's tokens and masks on a real ECG: which segments a training step shows."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ecg_lib.report import style
from ecg_lib.signal.leads import LEADS

_STEP = 1.6  # mV between two leads
_TEXT = (
    "Each box is a segment, and each segment one token. Blue: shown in this step. Grey: left out, "
    "as the lead is masked (a whole row) or the segment is. Nothing is filled in or reconstructed."
)


def lead_tokens(
    signal_mv: np.ndarray, keep: np.ndarray, steps: int, rate: float, label: str = ""
) -> Figure:
    """Draw an ECG lead by lead with the segments that a training step shows.

    Parameters
    ----------
    signal_mv : (12, T) array, mV
    keep : (k,) int
        Positions of shown segments in the lead-major sequence; -1 is none.
    steps : int
        Number M of segments per lead.
    rate : float, Hz
    """
    signal = np.asarray(signal_mv, float)
    seconds = signal.shape[-1] / rate
    width, time = seconds / steps, np.arange(signal.shape[-1]) / rate
    shown = {int(place) for place in keep if place >= 0}
    with style.use():
        fig = style.new_figure(7.6, 5.6)
        axes = fig.subplots()
        for row, (name, lead) in enumerate(zip(LEADS, signal, strict=True)):
            middle = -_STEP * row
            for step in range(steps):
                has = row * steps + step in shown
                color = style.SKY if has else style.FAINT
                low = (step * width, middle - _STEP / 2)
                axes.add_patch(
                    Rectangle(low, width, _STEP, fc=color, ec="white", lw=0.4, alpha=0.5)
                )
            axes.plot(time, middle + (lead - np.median(lead)), color=style.INK, lw=0.6)
            axes.text(-0.12, middle, name, ha="right", va="center", fontsize=8)
        axes.set(xlim=(0, seconds), ylim=(-_STEP * 11.6, _STEP * 0.7), yticks=[], xlabel="time (s)")
        axes.grid(visible=False)
        style.caption(fig, f"{_TEXT} One row is {_STEP:g} mV high.", label)
    return fig

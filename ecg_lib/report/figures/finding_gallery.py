"""Gallery of findings on ECG paper: simulated, beside a recorded example if there is one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from ecg_lib.knowledge.findings import name_of
from ecg_lib.report.ecg_plot import CAPTION, SPEED, draw_trace, paper_grid
from ecg_lib.signal.delineate import RATE as DELINEATED_AT
from ecg_lib.signal.delineate import landmarks
from ecg_lib.signal.leads import LEADS
from ecg_lib.signal.resample import STANDARD_RATE as RATE

SECONDS = 3.0
# the three leads in which a finding is read; all others are shown in II, V1 and V5
SEEN_IN: Mapping[str, tuple[str, str, str]] = {
    "CLBBB": ("I", "V1", "V6"),
    "CRBBB": ("I", "V1", "V6"),
    "IRBBB": ("I", "V1", "V6"),
    "LAFB": ("I", "II", "aVL"),
    "LPFB": ("I", "II", "III"),
    "AMI": ("V2", "V3", "V4"),
    "ASMI": ("V1", "V2", "V3"),
    "IMI": ("II", "III", "aVF"),
    "LMI": ("I", "aVL", "V6"),
    "LVH": ("V1", "V2", "V5"),
}
_DEFAULT = ("II", "V1", "V5")
_PREMATURE = ("PVC", "PAC")  # occasional beats, absent from most of a recording
_LEFT, _STEP, _GAP = 12.5, 21.5, 9.0  # mm: for the pulse, per lead, between two findings
_TOP = 17.0  # mm above the first baseline, for tall R waves


def finding_gallery(
    simulated: Mapping[str, np.ndarray], recorded: Mapping[str, np.ndarray | None]
) -> Figure:
    """Draw three leads of each finding, simulated left and recorded right, true to scale.

    Parameters
    ----------
    simulated, recorded : mapping
        Code -> (12, T) array in mV at 100 Hz, leads in the order of `LEADS`. A code without a
        recorded example gets a note in its place; if no code has one, there is no right column.
    """
    width = float(np.ceil((_LEFT + SPEED * SECONDS + 2.5) / 5) * 5)
    height = 5 * np.ceil((3 * _STEP + 8) / 5)
    kinds = (
        ("simulated", "recorded")
        if any(r is not None for r in recorded.values())
        else ("simulated",)
    )
    page = (len(kinds) * (width + 6.0) + 6.0, len(simulated) * (height + _GAP) + 10.0)
    figure = Figure(figsize=(page[0] / 25.4, page[1] / 25.4), dpi=110, facecolor="white")
    for row, (code, ecg) in enumerate(simulated.items()):
        bottom = page[1] - (row + 1) * (height + _GAP)
        for column, kind in enumerate(kinds):
            signal = ecg if kind == "simulated" else recorded.get(code)
            left = 6.0 + column * (width + 6.0)
            axes = figure.add_axes(
                (left / page[0], bottom / page[1], width / page[0], height / page[1])
            )
            axes.set(xlim=(0, width), ylim=(0, height), xticks=[], yticks=[])
            axes.set_title(f"{name_of(code)}: {kind}", fontsize=8, loc="left", pad=3)
            paper_grid(axes, width, height)
            if signal is None:
                axes.text(width / 2, height / 2, "no recorded example available", ha="center")
                continue
            shown = _window(np.asarray(signal, dtype=float), code)
            for k, lead in enumerate(SEEN_IN.get(code, _DEFAULT)):
                draw_trace(
                    axes,
                    shown[LEADS.index(lead)],
                    0,
                    RATE,
                    height - _TOP - _STEP * k,
                    lead,
                    pulse=k == 0,
                )
    figure.text(6.0 / page[0], 3.0 / page[1], CAPTION, fontsize=7, color="#444444")
    return figure


def _window(signal: np.ndarray, code: str) -> np.ndarray:
    """Cut out three seconds: around the longest pause for premature beats, else the calmest."""
    length = int(SECONDS * RATE)
    last = max(0, signal.shape[-1] - length)
    pause = _pause(signal) if code in _PREMATURE else None
    start = _calmest(signal, length) if pause is None else min(max(0, pause - RATE), last)
    part = signal[:, start : start + length]
    return part - np.median(part, axis=-1, keepdims=True)


def _calmest(signal: np.ndarray, length: int) -> int:
    """Return the start of the window whose baseline moves least, so that traces do not cross."""
    starts = range(0, max(1, signal.shape[-1] - length + 1), length // 6)
    drift = [
        np.ptp(np.median(signal[:, s : s + length].reshape(12, 6, -1), -1), -1).max()
        for s in starts
    ]
    return starts[int(np.argmin(drift))]


def _pause(signal: np.ndarray) -> int | None:
    """Return the sample where the longest RR interval begins.

    That is the premature beat itself or, if the detector missed it, the beat before.
    """
    found = landmarks(signal[LEADS.index("II")], RATE)
    beats = found["R"] * RATE / DELINEATED_AT if found else np.empty(0)
    return round(beats[int(np.argmax(np.diff(beats)))]) if len(beats) > 2 else None

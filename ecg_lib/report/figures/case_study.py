"""Figure 4: dialogues about one or two ECGs, each with the tracings above it."""

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from ecg_lib.data.credentialed import without_ids
from ecg_lib.errors import DataError
from ecg_lib.evaluation.answer_marks import NO_ANSWER, RIGHT, UNKNOWN, Line
from ecg_lib.report import style
from ecg_lib.report.schematics import box, canvas
from ecg_lib.signal.leads import LEADS
from ecg_lib.signal.resample import STANDARD_RATE as RATE
from ecg_lib.signal.resample import STANDARD_SECONDS as SECONDS

Answer = str | Sequence[Line]
DISCLAIMER = "For research and teaching, not for diagnosis."
_SHOWN = ("II", "V1", "V5")
_SMALL: style.Look = {"fontsize": 8, "color": style.QUIET, "linespacing": 1.3}
# Inches: line of text, padding of a bubble, gap between bubbles, title, line of ground truth
_LINE, _PAD, _GAP, _HEAD, _FOOT = 0.155, 0.16, 0.1, 0.36, 0.18


@dataclass(frozen=True)
class CaseStudy:
    """One or two ECGs and the dialogue about them.

    `ecgs` maps a title to a (12, samples) array in mV, leads in the order of `LEADS`. An answer is
    a text or its marked lines; a line that is not right is printed in red with its verdict.
    `truth` is what the labels say, printed so that the reader can judge the answers.
    """

    ecgs: Mapping[str, ArrayLike]
    dialogue: Sequence[tuple[str, Answer]]
    truth: str = ""


def figure4_case_studies(cases: Sequence[CaseStudy], model: str, fs: int = RATE) -> Figure:
    """Draw, for each case, strips of its ECGs and below them the dialogue as bubbles.

    Parameters
    ----------
    cases : sequence of CaseStudy
        From top to bottom.
    model : str
        The model that answered, printed in the figure, such as "tiny LLM, simulated cohort".
    fs : int
        Sampling rate, Hz.

    Raises
    ------
    DataError
        There is no case, or a case has no ECG, more than two ECGs, or one without 12 leads.
    """
    if not cases:
        raise DataError("case study: no case given; give one or more")
    width, foot = 7.2, 0.44
    # on ECG paper 1 mV is as long as 0.4 s
    blocks = [_Block.of(case, fs, 0.93 * width / SECONDS * 0.4) for case in cases]
    height = sum(block.height for block in blocks) + foot
    with style.use_for_names():
        fig, talk_ax = canvas(width, height)
        bottom = height
        for block in blocks:
            bottom = block.draw(fig, talk_ax, bottom, fs)
        text = f"Answers by {model}. One small square is 0.04 s and 0.1 mV.\n{DISCLAIMER}"
        fig.text(0.02, 0.09 / height, text, va="bottom", **_SMALL)
    return fig


def _unused(title: str, taken: Mapping[str, object]) -> str:
    """Return a title that is not taken yet: two ECGs may have lost the ids that told them apart."""
    return f"{title} (second)" if title in taken else title


@dataclass(frozen=True)
class _Block:
    """One case, laid out in inches before it is drawn."""

    strips: dict[str, "_Strips"]
    inches_per_mv: float
    bubbles: list[tuple[list[tuple[str, str]], str]]  # lines with their colours; "Q" or "A"
    truth: list[str]

    @classmethod
    def of(cls, case: CaseStudy, fs: int, inches_per_mv: float) -> "_Block":
        if not 1 <= len(case.ecgs) <= 2:
            raise DataError(f"case study: {len(case.ecgs)} ECGs given; give one or two")
        strips: dict[str, _Strips] = {}
        for title, signal in case.ecgs.items():
            mv = np.asarray(signal, float)
            if mv.ndim != 2 or len(mv) != len(LEADS):
                raise DataError(f"case study: {title} has shape {mv.shape}; give (12, samples)")
            strips[_unused(without_ids(title), strips)] = _Strips.of(mv, fs)
        said = [
            (text, side) for turn in case.dialogue for text, side in zip(turn, "QA", strict=True)
        ]
        bubbles = [(_coloured(text), side) for text, side in said]
        truth = f"According to the labels: {case.truth}." if case.truth else ""
        return cls(strips, inches_per_mv, bubbles, textwrap.wrap(truth, 108))

    @property
    def talk(self) -> float:
        return sum(len(lines) * _LINE + _PAD + _GAP for lines, _ in self.bubbles) + 0.1

    @property
    def height(self) -> float:
        sheets = sum(s.mv * self.inches_per_mv + _HEAD for s in self.strips.values())
        return sheets + self.talk + _FOOT * len(self.truth)

    def draw(self, fig: Figure, talk_ax: Axes, top: float, fs: int) -> float:
        """Draw the case below `top` and return where the next one may begin."""
        width, height = fig.get_size_inches()
        bottom = top
        for title, strip in self.strips.items():
            high = strip.mv * self.inches_per_mv
            bottom -= high + _HEAD
            ax = fig.add_axes((0.055, (bottom + 0.08) / height, 0.93, high / height))
            _draw_strips(ax, strip, fs)
            ax.set_title(title, fontsize=9, pad=3)
        _bubbles(talk_ax, self.bubbles, width, bottom)
        bottom -= self.talk
        fig.text(0.02, bottom / height, "\n".join(self.truth), va="top", **_SMALL)
        return bottom - _FOOT * len(self.truth)


@dataclass(frozen=True)
class _Strips:
    """Leads placed one below the other, as close as they can be without touching."""

    leads: dict[str, NDArray]
    baselines: list[float]  # mV, the first is 0
    top: float
    bottom: float

    @property
    def mv(self) -> float:
        return self.top - self.bottom

    @classmethod
    def of(cls, signal: NDArray, fs: int) -> "_Strips":
        rows = {lead: signal[LEADS.index(lead), : SECONDS * fs] for lead in _SHOWN}
        rows = {lead: np.clip(mv - np.median(mv), -3, 3) for lead, mv in rows.items()}
        baselines = [0.0]
        mvs = list(rows.values())
        for above, below in itertools.pairwise(mvs):
            need = max(below.max() - above.min() + 0.3, 1.0)
            baselines.append(baselines[-1] - np.ceil(need * 2) / 2)
        top = np.ceil((max(mvs[0].max(), 0.5) + 0.2) * 2) / 2
        bottom = np.floor((baselines[-1] + min(mvs[-1].min(), -0.3) - 0.2) * 2) / 2
        return cls(rows, baselines, float(top), float(bottom))


def _draw_strips(ax: Axes, strips: _Strips, fs: int) -> None:
    """Draw strips on ECG paper with large squares of 0.2 s and 0.5 mV."""
    for (lead, mv), base in zip(strips.leads.items(), strips.baselines, strict=True):
        ax.plot(np.arange(len(mv)) / fs, mv + base, color=style.INK, lw=0.75)
        place: style.Look = {"transform": ax.get_yaxis_transform(), "ha": "right", "va": "center"}
        ax.text(-0.01, base, lead, fontsize=8, **place)
    end = max(len(mv) for mv in strips.leads.values()) / fs
    ax.set(xlim=(0, end), ylim=(strips.bottom, strips.top))
    for minor, color in ((False, "#f0b9b9"), (True, "#f9e3e3")):
        divisor = 5 if minor else 1
        ax.set_xticks(np.arange(0, end + 1e-9, 0.2 / divisor), minor=minor)
        ax.set_yticks(np.arange(strips.bottom, strips.top + 1e-9, 0.5 / divisor), minor=minor)
        ax.grid(which="minor" if minor else "major", color=color, lw=0.35 if minor else 0.55)
    ax.tick_params(which="both", length=0, labelbottom=False, labelleft=False)
    for spine in ax.spines.values():
        spine.set(visible=True, color="#e0a0a0")


def _coloured(answer: Answer) -> list[tuple[str, str]]:
    """Return the printed lines and their colours; a right line gets a sign, others a verdict."""
    if isinstance(answer, str):
        return [(row, style.INK) for row in textwrap.wrap(answer, 72) or [NO_ANSWER]]
    rows = []
    for line in answer:
        good = line.verdict in (RIGHT, UNKNOWN)
        sign = {RIGHT: "\N{CHECK MARK} ", UNKNOWN: ""}.get(line.verdict)
        text = f"\N{BALLOT X} {line}" if sign is None else sign + line.text
        wrapped = textwrap.wrap(text, 72, subsequent_indent="   ")
        rows += [(row, style.INK if good else style.RED) for row in wrapped]
    return rows


def _bubbles(
    ax: Axes, wrapped: list[tuple[list[tuple[str, str]], str]], width: float, top: float
) -> None:
    y = top - 0.05
    for rows, side in wrapped:
        high = len(rows) * _LINE + _PAD
        long = 0.3 + 0.073 * max(len(row) for row, _ in rows)
        wide = min(max(long, 0.9), width - 1.2)
        x = 0.4 if side == "Q" else width - wide - 0.4
        face, edge = ("#f4f4f4", style.QUIET) if side == "Q" else ("#dcebf6", style.BLUE)
        box(ax, x, y - high, wide, high, face=face, edge=edge)
        for k, (row, color) in enumerate(rows):
            down = y - _PAD / 2 - (k + 0.5) * _LINE
            ax.text(x + 0.12, down, row, fontsize=8.5, color=color, va="center")
        at = x - 0.17 if side == "Q" else x + wide + 0.17
        ax.text(at, y - high / 2, side, weight="bold", ha="center", va="center", color=edge)
        y -= high + _GAP

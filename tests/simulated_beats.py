"""Noise-free ECGs of patients with chosen findings, and functions that measure them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.signal import resample_poly

from ecg_lib.data.simulated.cohort import Draft, draw_ecg, finish
from ecg_lib.data.simulated.heart import draw_constitution
from ecg_lib.data.simulated.patients import MODIFIES, Visit
from ecg_lib.signal.leads import LEADS

AT = {lead: i for i, lead in enumerate(LEADS)}
FINE = 5  # beats are interpolated to 500 Hz
BEFORE, AFTER = 0.40, 0.60  # s around R
PATIENTS = 7


@dataclass(frozen=True)
class Recording:
    """One noise-free ECG: its draft, its signal (12, 1000) in mV and its median beat at 500 Hz."""

    draft: Draft
    signal: np.ndarray
    beat: np.ndarray  # (12, 500), zero at the end of the PR segment

    def part(self, lead: str, start: float, stop: float) -> np.ndarray:
        """Return the median beat in one lead from `start` to `stop`, in s relative to R."""
        return self.beat[AT[lead], sample(start) : sample(stop)]

    def at(self, lead: str, second: float) -> float:
        """Return the mean over 20 ms around a time relative to R, in mV."""
        return float(self.part(lead, second - 0.01, second + 0.01).mean())


def sample(second: float) -> int:
    return round((second + BEFORE) * 100 * FINE)


@cache
def recordings(
    spec: str, stage: str = "", rate: float = 70.0, patients: int = PATIENTS
) -> tuple[Recording, ...]:
    """Return ECGs of several patients with only the findings in `spec`, e.g. "LAFB+CRBBB:0.7".

    The number after a colon is the grade; without it the grade is 1. An empty spec is a healthy
    heart. All specs with the same rhythm get the same patients, rhythms and recorders.
    """
    made = []
    for seed in range(patients):
        rng = np.random.default_rng(seed)
        body = draw_constitution(rng, True, "FM"[seed % 2])
        visit = Visit(60.0, "FM"[seed % 2], 0.5, "2000-01-01T08:00:00", rate=rate, stage=stage)
        for part in filter(None, spec.split("+")):
            code, _, grade = part.partition(":")
            where = visit.modifiers if code in MODIFIES else visit.findings
            where[code] = float(grade or 1)
        draft = draw_ecg(rng, visit, body, noise=0)
        signal = finish([draft])[0].astype(float)
        made.append(Recording(draft, signal, usual_beat(draft, signal)))
    return tuple(made)


def usual_beat(draft: Draft, signal: np.ndarray) -> np.ndarray:
    """Return the median of the beats of kind 0, aligned at R to within 2 ms."""
    fine = resample_poly(signal, FINE, 1, axis=1)
    beats, drawn = [], draft.drawn.beats
    for time, kind in zip(drawn.times, drawn.kinds, strict=True):
        first = round((time - BEFORE) * 100 * FINE)
        last = first + round((BEFORE + AFTER) * 100 * FINE)
        if kind == 0 and first >= 0 and last <= fine.shape[1]:
            beats.append(fine[:, first:last])
    beat = np.median(beats, axis=0)
    onset = sample(0) - round(0.06 * 100 * FINE)
    start = qrs_edges(beat)[0]
    level = slice(min(start, onset) - 8, min(start, onset) - 3)
    return beat - beat[:, level].mean(axis=1, keepdims=True)


def qrs_edges(beat: np.ndarray) -> tuple[int, int]:
    """Return the first and last sample of the QRS, where leads change fast; bridge 16 ms gaps."""
    speed = np.sqrt((np.gradient(beat, axis=1) ** 2).sum(axis=0)) * 100 * FINE  # mV/s
    low, high = sample(-0.12), sample(0.16)
    fast = low + np.flatnonzero(speed[low:high] > 12.0)
    parts = np.split(fast, np.flatnonzero(np.diff(fast) > 8) + 1)
    qrs = max(parts, key=lambda part: speed[part].sum())
    return int(qrs[0]), int(qrs[-1])


def median(of, spec: str, **how) -> float:
    """Return the median over patients of a measure `of` one recording."""
    return float(np.median([of(r) for r in recordings(spec, **how)]))


def qrs_width(r: Recording) -> float:
    first, last = qrs_edges(r.beat)
    return (last - first) / (100 * FINE)


def axis(r: Recording) -> float:
    """Return the frontal axis of the QRS area in degrees, from I and aVF."""
    first, last = qrs_edges(r.beat)
    one, foot = (r.beat[AT[lead], first:last].sum() for lead in ("I", "aVF"))
    return float(np.degrees(np.arctan2(foot * 2 / np.sqrt(3), one)))


def peak(lead: str, start: float, stop: float):
    """Return a measure: the highest value between two times, in mV."""
    return lambda r: float(r.part(lead, start, stop).max())


def trough(lead: str, start: float, stop: float):
    """Return a measure: the lowest value between two times, in mV."""
    return lambda r: float(r.part(lead, start, stop).min())


def q_depth(lead: str):
    """Return a measure: the depth of the first negative wave of the QRS, in mV."""

    def of(r: Recording) -> float:
        first, last = qrs_edges(r.beat)
        qrs = r.beat[AT[lead], first:last]
        top = int(qrs.argmax()) if qrs.max() > 0.1 else len(qrs)
        return float(max(-qrs[: max(top, 1)].min(), 0.0))

    return of


def st(lead: str):
    """Return a measure: the ST level 60 ms after the J point, in mV."""

    def of(r: Recording) -> float:
        j = qrs_edges(r.beat)[1] / (100 * FINE) - BEFORE
        return r.at(lead, j + 0.06)

    return of


def t_wave(lead: str):
    """Return a measure: the largest signed deflection of T from 180 to 400 ms, in mV."""

    def of(r: Recording) -> float:
        part = r.part(lead, 0.18, 0.40)
        return float(part[np.abs(part).argmax()])

    return of


def t_end(r: Recording) -> float:
    """Return the end of T in s after R: a tenth of its height, in the lead where it is largest."""
    late = r.beat[:, sample(0.15) : sample(0.58)]
    late = late - late[:, -10:].mean(axis=1, keepdims=True)
    wave = np.abs(late[np.abs(late).max(axis=1).argmax()])
    return 0.15 + np.flatnonzero(wave > 0.1 * wave.max())[-1] / (100 * FINE)


def p_part(r: Recording, lead: str) -> np.ndarray:
    """Return P wave and PR segment of the median beat, from 400 ms before R to the QRS."""
    return r.beat[AT[lead], : qrs_edges(r.beat)[0] - 2]

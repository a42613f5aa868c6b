"""Render beats and waves to leads, vectorised over many records.

Gaussian waves are evaluated only in a window around their beat, for all beats of all records at
once. They are multiplied by their lead weights as one stack of small matrix products, and each
beat is then added at its place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecg_lib.data.simulated.heart import Heartbeat
from ecg_lib.data.simulated.leadfield import EIGHT
from ecg_lib.data.simulated.noise import FS, SAMPLES
from ecg_lib.data.simulated.patients import Visit
from ecg_lib.data.simulated.rhythm import Beats
from ecg_lib.data.simulated.simulator_tables import population, waves

WINDOWS = {"p": (-0.46, 0.12), "qrs": (-0.16, 0.22), "t": (-0.06, 0.80)}  # s around R
_PAD = 250  # padding before and after the recording, samples


@dataclass(frozen=True)
class Drawn:
    """All random draws of one recording except noise, as needed by `render`."""

    beats: Beats
    heartbeat: Heartbeat
    gains: np.ndarray  # (B,) size of each beat, as breathing moves the heart
    atrial: np.ndarray | None  # (C, 1000) courses of fibrillation or flutter, mV
    atrial_leads: np.ndarray | None  # (8, C)


def render(drawn: list[Drawn]) -> np.ndarray:
    """Render leads I, II and V1..V6 of each recording, without noise and filters.

    Returns
    -------
    (R, 8, 1000) float32, mV
    """
    out = np.zeros((len(drawn), 8, SAMPLES + 2 * _PAD), dtype=np.float32)
    record = np.repeat(np.arange(len(drawn)), [len(d.beats.times) for d in drawn])
    times = np.concatenate([d.beats.times for d in drawn])
    kinds = np.concatenate([d.beats.kinds for d in drawn])
    gains = np.concatenate([d.gains for d in drawn]).astype(np.float32)
    weights = np.stack([d.heartbeat.weights for d in drawn]).astype(np.float32)
    at = np.stack([d.heartbeat.at for d in drawn]).astype(np.float32)
    # sqrt(1/2) / sd: times a distance and squared, this is minus the Gaussian's exponent
    inverse = (np.sqrt(0.5) / np.stack([d.heartbeat.sd for d in drawn])).astype(np.float32)
    leads = weights[record, kinds] * gains[:, None, None]  # (E, 8, S)
    first = np.floor(times * FS).astype(int)
    late = (first / FS - times)[:, None]
    edges = {group: [int(round(edge * FS)) for edge in WINDOWS[group]] for group in WINDOWS}
    start, stop = min(low for low, _ in edges.values()), max(high for _, high in edges.values())
    beat = np.zeros((len(times), 8, stop - start), dtype=np.float32)
    for group, slots in waves().group.items():
        low, high = edges[group]
        local = (np.arange(low, high) / FS + late).astype(np.float32)  # (E, W) s from R
        pick = (record[:, None], kinds[:, None], slots[None, :])
        away = local[:, None, :] - at[pick][:, :, None]
        width = inverse[pick]
        away *= np.where(away < 0, width[:, :, :1], width[:, :, 1:])
        np.multiply(away, away, out=away)
        np.negative(away, out=away)
        np.exp(away, out=away)
        beat[:, :, low - start : high - start] += np.matmul(leads[:, :, slots], away)  # (E, 8, W)
    begins = (first + start + _PAD).tolist()
    for e, (r, begin) in enumerate(zip(record.tolist(), begins, strict=True)):
        out[r, :, begin : begin + stop - start] += beat[e]
    out = np.ascontiguousarray(out[:, :, _PAD : _PAD + SAMPLES])
    for r, d in enumerate(drawn):
        if d.atrial is not None and d.atrial_leads is not None:  # both or neither
            for weight, course in zip(d.atrial_leads.T, d.atrial, strict=True):
                out[r] += weight.astype(np.float32)[:, None] * course.astype(np.float32)
    return out


def draw_atrial(
    rng: np.random.Generator, visit: Visit
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Draw fibrillation waves (irregular) or flutter waves.

    Flutter is a sawtooth in the inferior leads that falls slowly and rises fast, with a small
    upright wave in V1 at the moment of the rise.

    Returns
    -------
    courses : (C, 1000) float, mV, or None
        Time courses; None without fibrillation and flutter.
    leads : (8, C) float, or None
        Weights in I, II, V1..V6.
    """
    table = population()
    code = next((c for c in ("AFIB", "AFLT") if c in visit.findings), None)
    if code is None:
        return None, None
    entry = table["atrial"][code]
    size = entry["mv"] * np.exp(entry["log_sd"] * rng.standard_normal())
    hz = visit.atrial_hz if code == "AFLT" else rng.uniform(*entry["hz"])
    time = np.arange(SAMPLES) / FS
    if code == "AFIB":
        knots = np.linspace(0, SAMPLES / FS, 26)
        speed = hz * (1 + 0.14 * np.interp(time, knots, rng.standard_normal(26)))
        swell = 1 + 0.35 * np.interp(time, knots, rng.standard_normal(26))
        phase = 2 * np.pi * (np.cumsum(speed) / FS + rng.random())
        courses = [size * swell * (np.sin(phase) + 0.3 * np.sin(2 * phase + 1.0))]
        electrodes = [table["atrial_electrodes"]["AFIB"]]
    else:
        phase = 2 * np.pi * (hz * time + rng.random())
        saw = np.sin(phase) + 0.45 * np.sin(2 * phase) + 0.2 * np.sin(3 * phase)
        bump = np.exp(2.5 * (np.cos(phase) - 1))
        courses = [size * saw, size * 2 * (bump - bump.mean())]
        electrodes = [table["atrial_electrodes"][c] for c in ("AFLT", "AFLT_front")]
    return np.stack(courses), EIGHT @ np.asarray(electrodes, dtype=float).T


def breathing_gains(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    """Draw the size of each beat, about 1, which varies as the heart moves with breathing."""
    phase = 2 * np.pi * (rng.uniform(0.18, 0.33) * times + rng.random())
    return 1 + 0.03 * np.sin(phase) + 0.01 * rng.standard_normal(len(times))

"""Noise where it arises, at the electrodes, and the recorder's filters.

Every recording has some baseline wander and muscle noise; a few have remarkable noise of one of
ECG-QA's four kinds in some electrodes, and the leads that suffer from it are recorded as truth.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from ecg_lib.data.simulated.leadfield import EIGHT, twelve_leads
from ecg_lib.data.simulated.simulator_tables import population
from ecg_lib.signal.leads import LEADS

FS = 100  # Hz at which hearts are rendered, whatever cohorts of recordings have
SAMPLES = 10 * FS
KINDS = ("baseline drift", "static noise", "burst noise", "electrodes problems")
MUSCLE_HZ = (3.0, 48.0)
REACH = 0.6  # a lead is noisy if it carries this share of the noisiest lead's rms

_HZ = np.arange(SAMPLES // 2 + 1) * FS / SAMPLES
_TAPE = 2**18  # samples of muscle noise that recordings are cut from: 44 minutes
_TWELVE = twelve_leads(EIGHT).astype(np.float32)  # (12, 9)
_LOW_BINS = 16  # the high-pass acts on bins 0..15 (0 to 1.5 Hz)


def _band(low: float, high: float, slope: float) -> np.ndarray:
    """Amplitude spectrum f**slope within a band, scaled so that the noise has an rms of 1."""
    outside = (_HZ < low) | (_HZ > high)
    shape = np.where(outside, 0.0, np.maximum(_HZ, 0.05) ** slope)
    return (shape * SAMPLES / (2 * np.sqrt((shape**2).sum()))).astype(np.float32)


_WANDER = _band(0.05, 0.7, -1.0)
_MUSCLE = _band(*MUSCLE_HZ, 0.0)
_STATIC = _band(18.0, 49.0, 0.3)
_LOW_COUNT = int(np.flatnonzero(_WANDER)[-1]) + 1
_BASIS = np.concatenate(
    [
        np.cos(2 * np.pi * np.outer(np.arange(SAMPLES) / SAMPLES, np.arange(_LOW_BINS))),
        np.sin(2 * np.pi * np.outer(np.arange(SAMPLES) / SAMPLES, np.arange(1, _LOW_BINS))),
    ],
    axis=1,
).astype(np.float32)  # (1000, 31)
# wander has few components: summing them is cheaper than a transform
_WANDER_WAVES = np.fft.irfft(
    np.concatenate([part * np.diag(_WANDER)[:_LOW_COUNT] for part in (1, 1j)]), SAMPLES, axis=-1
).astype(np.float32)  # (2 _LOW_COUNT, 1000)


def electrode_noise(
    rng: np.random.Generator, factor: float = 1.0
) -> tuple[np.ndarray, dict[str, list[str]]]:
    """Noise of the nine electrodes, float32 (9, 1000) mV, and which leads are remarkably noisy.

    `factor` scales amplitudes and the probability of remarkable noise; 0 gives none.
    """
    table = population()["noise"]
    if factor <= 0:
        return np.zeros((9, SAMPLES), dtype=np.float32), {}
    muscle = _level(rng, table["muscle"], factor)
    wander = _level(rng, table["wander"], factor)
    # each electrode has its own piece of tape, either way up: a fresh draw costs ten times as much
    begin, up = rng.integers(_TAPE, size=9), 1 - 2 * rng.integers(2, size=9)
    noise = _muscle_tape()[begin]
    noise *= muscle * up[:, None].astype(np.float32)
    noise += (wander * rng.standard_normal((9, 2 * _LOW_COUNT), dtype=np.float32)) @ _WANDER_WAVES
    truth: dict[str, list[str]] = {}
    chances = rng.random(len(KINDS))
    for kind, chance in zip(KINDS, chances, strict=True):
        entry = table["marked"][kind]
        if chance < min(entry["rate"] * factor, 0.5):
            added = marked_noise(rng, kind, rng.uniform(*entry["mv"]) * max(factor, 0.7))
            truth[kind] = noisy_leads(added)
            noise += added
    return noise, truth


def marked_noise(rng: np.random.Generator, kind: str, mv: float) -> np.ndarray:
    """One remarkable noise of size `mv` in some electrodes, float32 (9, 1000)."""
    places = _places(rng)
    out = np.zeros((9, SAMPLES), dtype=np.float32)
    if kind == "baseline drift":
        out[places] = mv * np.fft.irfft(_spectrum(rng, len(places)) * _WANDER, SAMPLES, axis=-1)
    elif kind == "static noise":
        out[places] = mv * np.fft.irfft(_spectrum(rng, len(places)) * _STATIC, SAMPLES, axis=-1)
    elif kind == "burst noise":
        raw = np.fft.irfft(_spectrum(rng, len(places)) * _MUSCLE, SAMPLES, axis=-1)
        time = np.arange(SAMPLES) / FS
        window = np.zeros(SAMPLES)
        for _ in range(1 + rng.poisson(1.2)):
            centre, width = rng.uniform(0.5, 9.5), rng.uniform(0.15, 0.6)
            away = ((time - centre) / width) ** 2
            window = np.maximum(window, np.exp(-0.5 * away * away))
        out[places] = mv * window * raw
    elif kind == "electrodes problems":
        # a loose contact: the potential jumps and decays back, with crackle while it is loose
        place = places[:1]
        jumps = np.zeros(SAMPLES)
        at = rng.integers(0, SAMPLES, 2 + rng.poisson(2.0))
        jumps[at] = mv * rng.choice([-1.0, 1.0], len(at)) * rng.uniform(0.5, 1.0, len(at))
        decay = np.exp(-np.arange(SAMPLES) / (FS * rng.uniform(0.15, 0.8)))
        out[place] = np.fft.irfft(np.fft.rfft(jumps) * np.fft.rfft(decay), SAMPLES)
        crackle = np.fft.irfft(_spectrum(rng, 1) * _STATIC, SAMPLES, axis=-1)
        out[place] += 0.06 * mv * crackle
    else:
        raise ValueError(f"unknown kind of noise {kind!r}; known are {', '.join(KINDS)}")
    return out


def noisy_leads(noise: np.ndarray) -> list[str]:
    """Leads with at least `REACH` of the noisiest lead's rms; noise is (9, T) at electrodes."""
    noise = noise - noise.mean(axis=-1, keepdims=True)
    rms = np.sqrt(np.einsum("le,ef,lf->l", _TWELVE, noise @ noise.T, _TWELVE))
    return [lead for lead, size in zip(LEADS, rms, strict=True) if size >= REACH * rms.max()]


def high_pass(eight: np.ndarray, cutoff: np.ndarray) -> np.ndarray:
    """First-order high-pass of (R, 8, 1000) with a cut-off (R,) in Hz, without phase shift.

    Only the lowest Fourier components change, so they are subtracted by projection. The mean
    always goes: a recorder is AC-coupled.
    """
    hz = (np.arange(_LOW_BINS) * FS / SAMPLES)[None, :]
    lost = 1 - hz / np.sqrt(hz**2 + np.asarray(cutoff)[:, None] ** 2)
    scale = np.concatenate([lost[:, :1] / SAMPLES, lost[:, 1:] * 2 / SAMPLES], axis=1)
    scale = np.concatenate([scale, scale[:, 1:]], axis=1).astype(np.float32)
    return eight - ((eight @ _BASIS) * scale[:, None, :]) @ _BASIS.T


def draw_filter(rng: np.random.Generator) -> tuple[float, float]:
    """High-pass and low-pass cut-off (Hz) of the recorder."""
    table = population()["filter"]
    u = rng.random(2)
    return _pick(table["high_hz"], u[0]), _pick(table["low_hz"], u[1])


def _pick(odds: dict[float, float], u: float) -> float:
    total = 0.0
    for value, chance in odds.items():
        total += chance
        if u < total:
            return float(value)
    return float(value)


def _level(rng: np.random.Generator, entry: dict, factor: float) -> np.ndarray:
    """rms (9, 1) of the electrodes: one level a recording, half as much scatter between them."""
    common = rng.standard_normal()
    own = rng.standard_normal((9, 1))
    level = factor * entry["mv"] * np.exp(entry["log_sd"] * (common + 0.5 * own))
    return level.astype(np.float32)


def _spectrum(rng: np.random.Generator, rows: int) -> np.ndarray:
    """White complex noise of unit variance a part, complex64 (rows, 501)."""
    draws = rng.standard_normal((rows, 2 * len(_HZ)), dtype=np.float32)
    return draws.view(np.complex64)


@cache
def _muscle_tape() -> np.ndarray:
    """Ten seconds of muscle noise of unit rms from every place of a tape without end, float32."""
    rng, hz = np.random.default_rng(0), np.fft.rfftfreq(_TAPE, 1 / FS)
    inside = (hz >= MUSCLE_HZ[0]) & (hz <= MUSCLE_HZ[1])
    tape = np.fft.irfft(inside * (rng.standard_normal((len(hz), 2)) @ [1, 1j]), _TAPE)
    tape /= tape.std()
    tape = np.concatenate([tape, tape[: SAMPLES - 1]]).astype(np.float32)
    return np.lib.stride_tricks.sliding_window_view(tape, SAMPLES)  # (_TAPE, 1000), a view


def _places(rng: np.random.Generator) -> np.ndarray:
    """Electrodes a remarkable noise sits at: a limb, neighbours on the chest, or all."""
    u = rng.random()
    if u < 0.45:
        return np.array([rng.integers(3)])
    if u < 0.88:
        first = 3 + int(rng.integers(6))
        return np.arange(first, min(first + 1 + int(rng.integers(2)), 9))
    return np.arange(9)

"""Simulate noise at the electrodes, where it arises, and the recorder's filters.

Every recording has some baseline wander and muscle noise. A few also have marked noise of one of
ECG-QA's four kinds at some electrodes; the affected leads are part of the ground truth.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from ecg_lib.data.simulated.leadfield import EIGHT, twelve_leads
from ecg_lib.data.simulated.simulator_tables import population
from ecg_lib.signal.leads import LEADS

FS = 100  # Hz; hearts are rendered at this rate, whatever the rate of recorded cohorts
SAMPLES = 10 * FS
KINDS = ("baseline drift", "static noise", "burst noise", "electrodes problems")
MUSCLE_HZ = (3.0, 48.0)
REACH = 0.6  # a lead is noisy if its rms is at least this fraction of the noisiest lead's

_HZ = np.arange(SAMPLES // 2 + 1) * FS / SAMPLES
_TAPE = 2**18  # samples of muscle noise (44 minutes) from which recordings are cut
_TWELVE = twelve_leads(EIGHT).astype(np.float32)  # (12, 9)
_LOW_BINS = 16  # the high-pass acts on bins 0..15 (0 to 1.5 Hz)


def _band(low: float, high: float, slope: float) -> np.ndarray:
    """Return the amplitude spectrum f**slope within a band, scaled so that the noise has rms 1."""
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
# baseline wander has few components, so summing them is cheaper than a transform
_WANDER_WAVES = np.fft.irfft(
    np.concatenate([part * np.diag(_WANDER)[:_LOW_COUNT] for part in (1, 1j)]), SAMPLES, axis=-1
).astype(np.float32)  # (2 _LOW_COUNT, 1000)


def electrode_noise(
    rng: np.random.Generator, factor: float = 1.0
) -> tuple[np.ndarray, dict[str, list[str]]]:
    """Draw the noise of the nine electrodes.

    Parameters
    ----------
    rng : numpy Generator
    factor : float
        Scales amplitudes and the probability of marked noise; 0 gives no noise.

    Returns
    -------
    noise : (9, 1000) float32, mV
    truth : dict of str to list of str
        Kinds of marked noise -> the noisy leads.
    """
    table = population()["noise"]
    if factor <= 0:
        return np.zeros((9, SAMPLES), dtype=np.float32), {}
    muscle = _level(rng, table["muscle"], factor)
    wander = _level(rng, table["wander"], factor)
    # each electrode gets a piece of tape, either way up: drawing afresh takes ten times as long
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
    """Draw one marked noise of size `mv` at some electrodes, float32 (9, 1000) mV."""
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
        # a loose contact: the potential jumps and decays back, with crackle throughout
        place = places[:1]
        jumps = np.zeros(SAMPLES)
        at = rng.integers(0, SAMPLES, 2 + rng.poisson(2.0))
        jumps[at] = mv * rng.choice([-1.0, 1.0], len(at)) * rng.uniform(0.5, 1.0, len(at))
        decay = np.exp(-np.arange(SAMPLES) / (FS * rng.uniform(0.15, 0.8)))
        out[place] = np.fft.irfft(np.fft.rfft(jumps) * np.fft.rfft(decay), SAMPLES)
        crackle = np.fft.irfft(_spectrum(rng, 1) * _STATIC, SAMPLES, axis=-1)
        out[place] += 0.06 * mv * crackle
    else:
        raise ValueError(f"unknown kind of noise {kind!r}; choose from {', '.join(KINDS)}")
    return out


def noisy_leads(noise: np.ndarray) -> list[str]:
    """Return the leads whose rms is at least `REACH` of the noisiest lead's.

    Parameters
    ----------
    noise : (9, T) float, mV
        Noise at the electrodes.
    """
    noise = noise - noise.mean(axis=-1, keepdims=True)
    rms = np.sqrt(np.einsum("le,ef,lf->l", _TWELVE, noise @ noise.T, _TWELVE))
    return [lead for lead, size in zip(LEADS, rms, strict=True) if size >= REACH * rms.max()]


def high_pass(eight: np.ndarray, cutoff: np.ndarray) -> np.ndarray:
    """Apply a first-order high-pass filter without phase shift.

    Only the lowest Fourier components change, so they are subtracted by projection. The mean is
    always removed, because a recorder is AC-coupled.

    Parameters
    ----------
    eight : (R, 8, 1000) float32, mV
    cutoff : (R,) float, Hz

    Returns
    -------
    (R, 8, 1000) float32, mV
    """
    hz = (np.arange(_LOW_BINS) * FS / SAMPLES)[None, :]
    lost = 1 - hz / np.sqrt(hz**2 + np.asarray(cutoff)[:, None] ** 2)
    scale = np.concatenate([lost[:, :1] / SAMPLES, lost[:, 1:] * 2 / SAMPLES], axis=1)
    scale = np.concatenate([scale, scale[:, 1:]], axis=1).astype(np.float32)
    return eight - ((eight @ _BASIS) * scale[:, None, :]) @ _BASIS.T


def draw_filter(rng: np.random.Generator) -> tuple[float, float]:
    """Draw the high-pass and low-pass cut-off (Hz) of the recorder."""
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
    """Draw the electrodes' rms (9, 1): one level per recording, half that scatter between them."""
    common = rng.standard_normal()
    own = rng.standard_normal((9, 1))
    level = factor * entry["mv"] * np.exp(entry["log_sd"] * (common + 0.5 * own))
    return level.astype(np.float32)


def _spectrum(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Draw white complex noise with unit variance per component, complex64 (rows, 501)."""
    draws = rng.standard_normal((rows, 2 * len(_HZ)), dtype=np.float32)
    return draws.view(np.complex64)


@cache
def _muscle_tape() -> np.ndarray:
    """Return 10 s of muscle noise of unit rms from every start on an endless tape, float32."""
    rng, hz = np.random.default_rng(0), np.fft.rfftfreq(_TAPE, 1 / FS)
    inside = (hz >= MUSCLE_HZ[0]) & (hz <= MUSCLE_HZ[1])
    tape = np.fft.irfft(inside * (rng.standard_normal((len(hz), 2)) @ [1, 1j]), _TAPE)
    tape /= tape.std()
    tape = np.concatenate([tape, tape[: SAMPLES - 1]]).astype(np.float32)
    return np.lib.stride_tricks.sliding_window_view(tape, SAMPLES)  # (_TAPE, 1000), a view


def _places(rng: np.random.Generator) -> np.ndarray:
    """Draw the electrodes of a marked noise: one limb, one or two chest neighbours, or all."""
    u = rng.random()
    if u < 0.45:
        return np.array([rng.integers(3)])
    if u < 0.88:
        first = 3 + int(rng.integers(6))
        return np.arange(first, min(first + 1 + int(rng.integers(2)), 9))
    return np.arange(9)

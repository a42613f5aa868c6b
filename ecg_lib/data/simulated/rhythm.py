"""Draw the beats of a recording: the time and kind of each ventricular depolarisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecg_lib.data.simulated.patients import Visit
from ecg_lib.data.simulated.simulator_tables import population

DURATION = 10.0  # s
MARGIN = 1.2  # s of beats before and after the recording, so that its edges are not empty
KINDS = ("N", "S", "V", "A")  # usual, supraventricular, ventricular, aberrant premature beat


@dataclass(frozen=True)
class Beats:
    """R times (B,) in s from the start of the recording, and kinds (B,) as positions in KINDS."""

    times: np.ndarray
    kinds: np.ndarray
    rr: float  # mean RR interval of the usual rhythm, s

    @property
    def inside(self) -> np.ndarray:
        """Mask of the beats whose R peak lies within the recording."""
        return (self.times >= 0) & (self.times < DURATION)


def draw_beats(rng: np.random.Generator, visit: Visit) -> Beats:
    """Draw the beats of one recording from the visit's rate and rhythm findings."""
    table = population()
    found = visit.findings
    if "AFLT" in found:
        return _flutter(rng, visit, table["atrial"]["AFLT"]["hz"])
    mean = 60.0 / visit.rate
    n = int((DURATION + 2 * MARGIN) / (0.5 * mean)) + 4
    if "AFIB" in found:
        cv = rng.uniform(*table["rr_afib"])
        rr = np.maximum(rng.gamma(1 / cv**2, mean * cv**2, n), 0.30)
    elif "PACE" in found or "SVTAC" in found:  # a pacemaker or re-entry circuit is regular
        rr = mean * (1 + 0.002 * rng.standard_normal(n))
    else:
        rr = _sinus(rng, n, mean, visit, table)
    kinds = np.zeros(n, dtype=np.int64)
    _premature(rng, visit, rr, kinds)
    times = np.cumsum(rr) - rr[0] - MARGIN - mean * rng.random()
    keep = (times > -MARGIN) & (times < DURATION + MARGIN)
    return Beats(times[keep], kinds[keep], mean)


def _sinus(rng: np.random.Generator, n: int, mean: float, visit: Visit, table: dict) -> np.ndarray:
    """Draw RR intervals that vary with breathing (0.15-0.35 Hz) and scatter a little."""
    swing = rng.uniform(*table["rr_variation"]) * (1.2 - 0.008 * visit.age)
    if "SARRH" in visit.findings:
        low, high = table["rr_arrhythmia"]
        swing = low + (high - low) * visit.findings["SARRH"]
    breath = 2 * np.pi * (rng.uniform(0.15, 0.35) * mean * np.arange(n) + rng.random())
    return mean * (1 + swing * np.sin(breath) + 0.35 * swing * rng.standard_normal(n))


def _premature(rng: np.random.Generator, visit: Visit, rr: np.ndarray, kinds: np.ndarray) -> None:
    """Insert premature beats in place, by changing their kind and the RR before and after them.

    A ventricular beat is followed by a compensatory pause (the two RR intervals add up to two
    normal ones). An atrial beat resets the sinus node (the pause is about one interval).
    """
    code = next((c for c in ("PAC", "PVC", "PRC(S)") if c in visit.findings), None)
    if code is None:
        return
    kind = {"PAC": 1, "PVC": 2, "PRC(S)": 3}[code]
    shown = np.cumsum(rr) - rr[0] - MARGIN - rr[0]
    inside = np.flatnonzero((shown > 0.8) & (shown < DURATION - 2.0))
    pattern = 2 if "BIGU" in visit.findings else 3 if "TRIGU" in visit.findings else 0
    if pattern:
        places = np.arange(2 + int(rng.integers(pattern)), len(rr) - 1, pattern)
    else:
        many = min(1 + rng.poisson(0.8), 4)
        places = rng.choice(inside, size=min(many, len(inside)), replace=False)
        places = places[~np.isin(places - 1, places)]  # no couplets: each beat has a pause
    coupling = rng.uniform(0.52, 0.76) if kind != 1 else rng.uniform(0.58, 0.80)
    # rr[i] is the interval that ends with beat i
    short = coupling * (1 + 0.02 * rng.standard_normal(len(places)))
    kinds[places] = kind
    after = np.where(kind == 1, 1.08, 2 - short)
    rr[places + 1] = rr[places] * after
    rr[places] = rr[places] * short


def _flutter(rng: np.random.Generator, visit: Visit, hz: list[float]) -> Beats:
    """Conduct every second to fourth flutter wave, mostly with a fixed ratio."""
    slowest, fastest = hz
    wave = 1 / rng.uniform(slowest, fastest)
    ratio = int(rng.choice([2, 3, 4], p=[0.35, 0.2, 0.45]))
    n = int((DURATION + 2 * MARGIN) / (2 * wave)) + 4
    ratios = np.full(n, ratio)
    if rng.random() < 0.25:  # variable block
        ratios = rng.choice([2, 3, 4], size=n, p=[0.3, 0.3, 0.4])
    rr = wave * ratios * (1 + 0.005 * rng.standard_normal(n))
    kinds = np.zeros(n, dtype=np.int64)
    if "PVC" in visit.findings:
        _premature(rng, visit, rr, kinds)
    times = np.cumsum(rr) - rr[0] - MARGIN - rr[0] * rng.random()
    keep = (times > -MARGIN) & (times < DURATION + MARGIN)
    visit.rate, visit.atrial_hz = 60.0 / float(rr.mean()), 1 / wave
    return Beats(times[keep], kinds[keep], float(rr.mean()))

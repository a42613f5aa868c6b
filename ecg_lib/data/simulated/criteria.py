"""A finding is written only where its criterion is met: the beat is changed until it is.

Nobody writes left anterior fascicular block without a left axis, high voltage without high voltage,
or an old inferior infarction without Q waves. What is demanded stands in `waves.yaml` (`axis_deg`,
`sokolow_mv`); Q waves are judged by `truth.q_leads`.
"""

from __future__ import annotations

from dataclasses import replace

from ecg_lib.data.simulated.heart import Constitution, Heartbeat, heartbeat
from ecg_lib.data.simulated.patients import Visit
from ecg_lib.data.simulated.simulator_tables import waves
from ecg_lib.data.simulated.truth import Measures, measure, q_leads

INFERIOR = ("II", "III", "aVF")
INFERIOR_INFARCTIONS = ("IMI", "ILMI", "IPMI", "IPLMI")
TRIES = 12  # turns of the heart; areas do not turn quite as the vectors do
STRAIGHTER = 0.8  # share of the tilt that stays at each turn
FOLD = 0.3  # a heart outside the demanded axes comes to lie this share of its excess inside
USUAL = [0, 1, 3]  # kinds of beats that share the usual QRS: all but the ventricular
Q_STEP, Q_STEPS = 0.06, 16  # mV by which a Q wave in III is deepened at a time


def meet_criteria(
    visit: Visit, body: Constitution, rr: float, low_pass: float
) -> tuple[Heartbeat, Measures]:
    """Waves of the visit's beats, and their measures, with all that its findings demand.

    Parameters
    ----------
    rr, low_pass : s and Hz, see `heart.heartbeat`
    """
    beat = heartbeat(visit, body, rr, low_pass)
    found = measure(beat)
    limits = _axis_limits(visit)
    target = None
    for _ in range(TRIES):
        if _lacks_q(visit, found):
            beat, found = _deepen_q(beat, found)
        if limits is None:
            break
        axis = _unwrapped(found.axis_deg, limits)
        if limits[0] <= axis <= limits[1]:
            break
        target = target if target is not None else _folded(axis, limits)
        # a tilted heart turns its forces to the back into the frontal plane, where they stay
        tilt = (STRAIGHTER * body.tilt[0], STRAIGHTER * body.tilt[1])
        body = replace(body, frontal=body.frontal + target - axis, tilt=tilt)
        beat = heartbeat(visit, body, rr, low_pass)
        found = measure(beat)
    return _enlarge(visit, body, beat, found)


def _axis_limits(visit: Visit) -> tuple[float, float] | None:
    changes = waves().changes
    return next((changes[c].axis for c in visit.findings if c in changes and changes[c].axis), None)


def _unwrapped(axis: float, limits: tuple[float, float]) -> float:
    """The axis counted the nearer way round from the limits: 10 degrees beyond -90 are -100."""
    middle = (limits[0] + limits[1]) / 2
    return middle + (axis - middle + 180) % 360 - 180


def _folded(axis: float, limits: tuple[float, float]) -> float:
    """Where a heart outside the limits is turned to: inside, by a share of its excess."""
    low, high = limits
    edge = low if axis < low else high
    return min(max(edge + FOLD * (edge - axis), low + 1), high - 1)


def _lacks_q(visit: Visit, found: Measures) -> bool:
    """Whether an old inferior infarction that nobody doubts has no Q waves to show for it."""
    codes = set(INFERIOR_INFARCTIONS) & set(visit.findings) - visit.uncertain
    return bool(codes) and visit.stage == "old" and len(set(q_leads(found)) & set(INFERIOR)) < 2


def _deepen_q(beat: Heartbeat, found: Measures) -> tuple[Heartbeat, Measures]:
    """Add to the first vector of the QRS, upwards and to the left, until Q waves are there."""
    slots = waves().slots
    q0, q1 = slots.index("q0"), slots.index("q1")
    for step in range(Q_STEPS):
        beat.weights[USUAL, 0, q0] += 0.4 * Q_STEP
        beat.weights[USUAL, 1, q0] -= 0.6 * Q_STEP
        if step == 0:  # an r before it would make it an S
            beat.weights[USUAL, :2, q1] *= 0.2
        found = measure(beat)
        if len(set(q_leads(found)) & set(INFERIOR)) >= 2:
            break
    return beat, found


def _enlarge(
    visit: Visit, body: Constitution, beat: Heartbeat, found: Measures
) -> tuple[Heartbeat, Measures]:
    """Enlarge the QRS to the voltage demanded."""
    changes = waves().changes
    code = next((c for c in visit.findings if c in changes and changes[c].sokolow), None)
    if code is None:
        return beat, found
    low, high = changes[code].sokolow
    least = low + (high - low) * visit.findings[code]
    if found.sokolow >= least:
        return beat, found
    # the place of the heart decides how far beyond the least it lies
    gain = min(least / max(found.sokolow, 1.0) * (1 + 0.15 * body.t_at), 2.2)
    qrs = waves().group["qrs"]
    beat.weights[:, :2, qrs] *= gain**0.5  # the large heart is near the chest electrodes
    beat.weights[:, 2:, qrs] *= gain
    return beat, measure(beat)

"""Change a beat until it meets the criteria of the patient's findings.

A reader reports left anterior fascicular block only with a left axis, high voltage only if the
voltage is high, and an old inferior infarction only with Q waves. The limits are in `waves.yaml`
(`axis_deg`, `sokolow_mv`); Q waves are judged by `truth.q_leads`.
"""

from __future__ import annotations

from dataclasses import replace

from ecg_lib.data.simulated.heart import Constitution, Heartbeat, heartbeat
from ecg_lib.data.simulated.patients import Visit
from ecg_lib.data.simulated.simulator_tables import waves
from ecg_lib.data.simulated.truth import Measures, measure, q_leads

INFERIOR = ("II", "III", "aVF")
INFERIOR_INFARCTIONS = ("IMI", "ILMI", "IPMI", "IPLMI")
TRIES = 12  # rotations of the heart; the axis (from areas) does not turn exactly as the vectors do
STRAIGHTER = 0.8  # fraction of the tilt that remains after each rotation
FOLD = 0.3  # a heart outside the axis limits is turned inside them by this fraction of its excess
USUAL = [0, 1, 3]  # kinds of beats with the usual QRS: all but the ventricular
Q_STEP, Q_STEPS = 0.06, 16  # mV by which each step deepens a Q wave in III, and number of steps


def meet_criteria(
    visit: Visit, body: Constitution, rr: float, low_pass: float
) -> tuple[Heartbeat, Measures]:
    """Return the waves of the visit's beats, changed to meet all criteria, and their measures.

    Parameters
    ----------
    visit : Visit
    body : Constitution
    rr : float, s
        Mean RR interval.
    low_pass : float, Hz
        Cut-off of the recorder, see `heart.heartbeat`.

    Returns
    -------
    tuple of Heartbeat and Measures
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
        # rotating a tilted heart brings posterior forces into the frontal plane, where they stay
        tilt = (STRAIGHTER * body.tilt[0], STRAIGHTER * body.tilt[1])
        body = replace(body, frontal=body.frontal + target - axis, tilt=tilt)
        beat = heartbeat(visit, body, rr, low_pass)
        found = measure(beat)
    return _enlarge(visit, body, beat, found)


def _axis_limits(visit: Visit) -> tuple[float, float] | None:
    changes = waves().changes
    return next((changes[c].axis for c in visit.findings if c in changes and changes[c].axis), None)


def _unwrapped(axis: float, limits: tuple[float, float]) -> float:
    """Return the axis within 180 degrees of the limits' middle: 10 degrees beyond -90 is -100."""
    middle = (limits[0] + limits[1]) / 2
    return middle + (axis - middle + 180) % 360 - 180


def _folded(axis: float, limits: tuple[float, float]) -> float:
    """Return the axis that a heart is turned to: inside the limits, by a fraction of its excess."""
    low, high = limits
    edge = low if axis < low else high
    return min(max(edge + FOLD * (edge - axis), low + 1), high - 1)


def _lacks_q(visit: Visit, found: Measures) -> bool:
    """Return whether an old and certain inferior infarction lacks Q waves."""
    codes = set(INFERIOR_INFARCTIONS) & set(visit.findings) - visit.uncertain
    return bool(codes) and visit.stage == "old" and len(set(q_leads(found)) & set(INFERIOR)) < 2


def _deepen_q(beat: Heartbeat, found: Measures) -> tuple[Heartbeat, Measures]:
    """Enlarge the first vector of the QRS, upwards and to the left, until there are Q waves."""
    slots = waves().slots
    q0, q1 = slots.index("q0"), slots.index("q1")
    for step in range(Q_STEPS):
        beat.weights[USUAL, 0, q0] += 0.4 * Q_STEP
        beat.weights[USUAL, 1, q0] -= 0.6 * Q_STEP
        if step == 0:  # after an r wave, it would be an S wave
            beat.weights[USUAL, :2, q1] *= 0.2
        found = measure(beat)
        if len(set(q_leads(found)) & set(INFERIOR)) >= 2:
            break
    return beat, found


def _enlarge(
    visit: Visit, body: Constitution, beat: Heartbeat, found: Measures
) -> tuple[Heartbeat, Measures]:
    """Enlarge the QRS to the voltage that a finding requires."""
    changes = waves().changes
    code = next((c for c in visit.findings if c in changes and changes[c].sokolow), None)
    if code is None:
        return beat, found
    limits = changes[code].sokolow
    assert limits is not None  # the code was chosen for having them
    low, high = limits
    least = low + (high - low) * visit.findings[code]
    if found.sokolow >= least:
        return beat, found
    # the patient's constitution decides how far beyond the minimum the voltage is
    gain = min(least / max(found.sokolow, 1.0) * (1 + 0.15 * body.t_at), 2.2)
    qrs = waves().group["qrs"]
    beat.weights[:, :2, qrs] *= gain**0.5  # a large heart is close to the chest electrodes
    beat.weights[:, 2:, qrs] *= gain
    return beat, measure(beat)

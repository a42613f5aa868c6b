"""Compute the heart's waves: the normal beat, changed by each finding according to its grade.

A beat is a sum of Gaussian waves. Each has a vector in Frank's frame (mV), a time from the R peak,
and a rising and a falling width (s): McSharry et al., IEEE Trans Biomed Eng 50 (2003) 289-294, in
three dimensions as in Sameni et al., EURASIP J Adv Signal Process (2007) 43407.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ecg_lib.data.simulated.leadfield import EIGHT, patient_vectors, rotation
from ecg_lib.data.simulated.patients import Visit
from ecg_lib.data.simulated.rhythm import KINDS
from ecg_lib.data.simulated.simulator_tables import Change, population, waves

PREMATURE = {"S": "PAC", "V": "PVC", "A": "PRC(S)"}  # kind of beat -> its finding
OVERALL = ("LVOLT", "HVOLT")  # applied last, to scale the result of the other findings
LONGEST_PR = 0.198  # s without AV block


@dataclass(frozen=True)
class Constitution:
    """Properties that are the same in all ECGs of a patient."""

    electrodes: np.ndarray  # (9, 3) lead vectors
    frontal: float  # degrees
    tilt: tuple[float, float]
    gain: np.ndarray  # (S, 1) factor of each wave
    offset: np.ndarray  # (S, 3) mV
    residue: np.ndarray  # (9, S) non-dipolar part of each wave, as a fraction of its length
    widths: np.ndarray  # (S, 1)
    pr: float  # position within the range of PR intervals, 0..1
    t_at: float
    t_rise: float
    t_fall: float
    left_beats: bool  # premature beats come from the left ventricle
    focus: float  # degrees in the frontal plane: their origin in the ventricle
    focus_gain: float  # their size
    slow: float  # position within the range of widths of a blocked or paced QRS, 0..1


@dataclass(frozen=True)
class Heartbeat:
    """Waves of the usual beat and of premature beats: K kinds, S slots, eight leads.

    `weights` is (K, 8, S) in mV, `at` (K, S) in s, and `sd` (K, S, 2) in s; weights and widths are
    those after the recorder's low-pass filter.
    """

    weights: np.ndarray
    at: np.ndarray
    sd: np.ndarray
    pr: float  # s from P onset to QRS onset, as drawn
    p_onset: float  # s from R, negative
    p_duration: float  # s


def draw_constitution(rng: np.random.Generator, diseased: bool, sex: str) -> Constitution:
    """Draw a patient's body and normal beat (`constitution` of population.yaml)."""
    table, wave = population()["constitution"], waves()
    n, group = len(wave.slots), wave.group
    health = "abnormal" if diseased else "normal"
    mean, sd = table["frontal_deg"][health]
    lean, lean_sd = table["tilt_deg"][health]
    log = table["wave_log_sd"] * rng.standard_normal(n)
    overall = table["qrs_log_sd"] * rng.standard_normal()
    log[group["qrs"]] = 0.6 * log[group["qrs"]] + overall
    log[group["t"]] += 0.45 * overall + table["t_log_sd"] * rng.standard_normal()
    if sex == "F":
        log += np.log(table["female_gain"])
    offset = table["vector_mv"] * rng.standard_normal((n, 3))
    offset[group["p"]] *= 0.3
    offset[[wave.slots.index(s) for s in ("q0", "q6", "spike")]] = 0
    offset[group["t"]] *= 1.6
    offset[wave.slots.index("st")] *= 0.2
    share = rng.uniform(*table["residue"])
    widths = np.exp(0.11 * rng.standard_normal() + 0.06 * rng.standard_normal(n))
    widths[group["qrs"]] *= table["broader"][health]
    return Constitution(
        electrodes=patient_vectors(rng, table),
        frontal=mean + sd * rng.standard_normal(),
        tilt=(lean + lean_sd * rng.standard_normal(), lean_sd * rng.standard_normal()),
        gain=np.exp(log)[:, None],
        offset=offset,
        residue=share * rng.standard_normal((9, n)),
        widths=widths[:, None],
        pr=rng.random(),
        t_at=rng.random(),
        t_rise=rng.random(),
        t_fall=rng.random(),
        left_beats=bool(rng.random() < 0.5),
        focus=rng.uniform(*table["focus_deg"]),
        focus_gain=np.exp(rng.normal(*table["focus_log_gain"])),
        slow=rng.random(),
    )


def heartbeat(visit: Visit, body: Constitution, rr: float, low_pass: float) -> Heartbeat:
    """Compute the waves of one ECG's beats.

    Parameters
    ----------
    visit : Visit
    body : Constitution
    rr : float, s
        Mean RR interval. The T wave comes earlier at higher rates (RR ** rr_power).
    low_pass : float, Hz
        Cut-off of the recorder. A Gaussian filter only widens Gaussian waves (variances add, areas
        stay), so it costs nothing and has no edge effects.
    """
    wave = waves()
    timing, slots = wave.timing, wave.slots
    p, qrs = wave.group["p"], wave.group["qrs"]
    mv, at = wave.mv * body.gain + body.offset, wave.at.copy()
    sd = wave.sd * body.widths
    t = slots.index("t")
    sd[t] = _within(timing["t_rise_ms"], body.t_rise), _within(timing["t_fall_ms"], body.t_fall)
    squeeze, shift, pr = wave.squeeze, 0.0, _within(timing["pr_ms"], body.pr)
    pr *= 0.75 + 0.25 * min(rr / 0.85, 1.1)  # shorter at high rates
    for code, grade in _changes(visit):
        change = wave.changes[code]
        strength = grade
        if change.injury is not None:
            stage = wave.stages[visit.stage or "old"]
            strength = grade * stage["qrs"]
            injury = (0.5 + 0.5 * grade) * change.injury
            mv[slots.index("st")] += stage["st"] * injury
            mv[t] += stage["t"] * injury
        apply_change(change, strength, mv, at, sd)
        if change.squeeze is not None:
            low, high = change.squeeze
            squeeze += grade * (low + (high - low) * body.slow - squeeze)
        shift += grade * change.t_delay
        if change.pr is not None:
            # squared because most are only slightly prolonged (PTB-XL)
            pr = max(pr, change.pr[0] + (change.pr[1] - change.pr[0]) * grade**2)
    at[qrs] *= squeeze
    sd[qrs] *= squeeze
    pace = rr ** timing["rr_power"]
    at[t] = (_within(timing["t_at_ms"], body.t_at) + shift + at[t] - wave.at[t]) * pace
    sd[t] *= 0.5 + 0.5 * pace
    _blend_st(mv, at, sd, body, pace)
    right, left, after = p
    late = at[left] - at[right]  # delay from an enlarged left atrium
    pr = max(pr, min(pr + late, LONGEST_PR))
    gap, half = timing["p_gap_ms"] / 1000 + late, 2.0 * sd[p, 0]
    p_onset = qrs_onset(mv, at, sd, qrs) - pr
    if "retrograde_p" in visit.modifiers:
        p_onset = at[right] - half[0] - rr  # follows the R of the preceding beat
    at[right] = p_onset + half[0]
    at[left] = at[right] + gap
    at[after] = at[left] + timing["p_after_ms"] / 1000
    mv[after] = -timing["p_after_share"] * (mv[right] + mv[left])
    p_duration = gap + half[0] + half[1]

    drawn = [kind for kind in KINDS[1:] if PREMATURE[kind] in visit.findings]
    kinds = [(mv, at, sd)] + [_premature(kind, body, mv, at, sd) for kind in drawn]
    mvs, ats, sds = (np.stack(x) for x in zip(*kinds, strict=True))
    weights = _project(mvs, body)
    filtered = np.sqrt(sds**2 + (np.sqrt(np.log(2)) / (2 * np.pi * low_pass)) ** 2)
    weights *= (sds.sum(-1) / filtered.sum(-1))[:, None, :]
    place = [1 + drawn.index(kind) if kind in drawn else 0 for kind in KINDS]  # 0 if unused
    return Heartbeat(weights[place], ats[place], filtered[place], pr, p_onset, p_duration)


def apply_change(
    change: Change, grade: float, mv: np.ndarray, at: np.ndarray, sd: np.ndarray
) -> None:
    """Apply a finding to a beat in place.

    Parameters
    ----------
    change : Change
    grade : float
        0 (absent) to 1 (full).
    mv : (S, 3) float, mV
    at : (S,) float, s
    sd : (S, 2) float, s
    """
    mv[change.has_to] *= 1 - grade
    mv += grade * (change.to + change.add)
    mv *= 1 + grade * (change.times - 1)
    if change.moved.any():
        at[change.moved] += grade * (change.at - at)[change.moved]
    if change.widened.any():
        sd[change.widened] += grade * (change.sd - sd)[change.widened]


def _blend_st(
    mv: np.ndarray, at: np.ndarray, sd: np.ndarray, body: Constitution, pace: float
) -> None:
    """Blend ST into the start of the T wave, in place, so that it is not a separate dome.

    The normal ST shift belongs to the T wave, so it shrinks and vanishes with it. Like T, ST comes
    earlier at high rates. Unless a finding sets its width, ST falls off slowly enough to reach T.
    """
    wave = waves()
    st, t = wave.slots.index("st"), wave.slots.index("t")
    usual = body.gain[t] * wave.mv[t]
    share = min(max(float(mv[t] @ usual) / float(usual @ usual), 0.0), 1.0)
    mv[st] -= (1 - share) * body.gain[st] * wave.mv[st]
    own = abs(sd[st, 1] - wave.sd[st, 1] * body.widths[st, 0]) > 1e-9  # a finding set the width
    at[st] *= min(pace, 1.0)
    sd[st] *= 0.5 + 0.5 * min(pace, 1.0)
    gap = at[t] - at[st]
    if not own and gap > 0:
        reach, rise = wave.timing["st_reach"]
        sd[st, 1] = max(sd[st, 1], reach * gap)
        sd[t, 0] = max(sd[t, 0], rise * gap)


def qrs_onset(mv: np.ndarray, at: np.ndarray, sd: np.ndarray, qrs: np.ndarray) -> float:
    """Return the start (s) of the earliest sizeable QRS wave, two widths before its peak."""
    size = np.abs(mv[qrs]).sum(-1)
    size[0] = 0  # the pacing spike
    return float((at[qrs] - 2.0 * sd[qrs, 0])[size > 0.06].min())


def _changes(visit: Visit) -> list[tuple[str, float]]:
    """Return the rows of waves.yaml that apply, in the order of that table, overall size last."""
    found = {**visit.modifiers, **visit.findings}
    hidden = "SVTAC" in found and "retrograde_p" not in found  # P lies within QRS or T
    if hidden or {"AFIB", "AFLT"} & set(found):
        found["no_p"] = 1.0
    for premature in ("PVC", "PAC"):
        found.pop(premature, None)
    ordered = [code for code in waves().changes if code in found and code not in OVERALL]
    return [(code, found[code]) for code in (*ordered, *(c for c in OVERALL if c in found))]


def _premature(
    kind: str, body: Constitution, mv: np.ndarray, at: np.ndarray, sd: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the waves of a premature beat: new P (S), new QRS (V), or broad QRS after a P (A)."""
    mv, at, sd = mv.copy(), at.copy(), sd.copy()
    wave = waves()
    if kind == "S":
        apply_change(wave.changes["PAC"], 0.9, mv, at, sd)
        return mv, at, sd
    code, grade = ("PVC", 0.95) if kind == "V" else ("CRBBB", 1.0)
    before = mv.copy()
    apply_change(wave.changes[code], grade, mv, at, sd)
    if kind == "V":
        changed = wave.changes[code].has_to
        mv[changed] = body.gain[changed] * mv[changed] @ rotation(body.focus, (0.0, 0.0)).T
        mv[changed] *= body.focus_gain
        if body.left_beats:
            mv[changed] *= np.array([-1.0, 1.0, -0.75])
        mv[wave.slots.index("spike")] = 0
    else:
        mv[wave.group["p"]] = 0.5 * before[wave.group["p"]]
    return mv, at, sd


def _project(mv: np.ndarray, body: Constitution) -> np.ndarray:
    """Project wave vectors (K, S, 3) through the electrodes to lead weights (K, 8, S)."""
    turned = np.empty_like(mv)
    for share, slots in _turning():
        tilt = (share * body.tilt[0], share * body.tilt[1])
        turned[:, slots] = mv[:, slots] @ rotation(share * body.frontal, tilt).T
    length = np.sqrt(np.einsum("ksx,ksx->ks", turned, turned))
    scale = np.sqrt(np.einsum("ex,ex->e", body.electrodes, body.electrodes))
    potentials = body.electrodes @ turned.transpose(0, 2, 1)
    potentials += body.residue * scale[:, None] * length[:, None, :]
    weights = EIGHT @ potentials
    weights[:, 2:] *= waves().chest
    return weights


@cache
def _turning() -> list[tuple[float, slice | np.ndarray]]:
    """Return how far each group of waves turns with the heart, and its slots (slices for speed)."""
    share = population()["constitution"]["turning"]
    return [
        (share[group], slice(slots[0], slots[-1] + 1) if (np.diff(slots) == 1).all() else slots)
        for group, slots in waves().group.items()
    ]


def _within(limits: list[float], place: float) -> float:
    return (limits[0] + (limits[1] - limits[0]) * place) / 1000

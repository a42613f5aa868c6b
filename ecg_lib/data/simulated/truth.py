"""Derive the ground truth of a simulated ECG: intervals, axis, voltages and labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from ecg_lib.data.simulated.heart import Heartbeat
from ecg_lib.data.simulated.leadfield import twelve_leads
from ecg_lib.data.simulated.patients import Visit
from ecg_lib.data.simulated.reports import NORMAL_RANGES
from ecg_lib.data.simulated.rhythm import Beats
from ecg_lib.data.simulated.simulator_tables import population, waves
from ecg_lib.knowledge.findings import FINDINGS
from ecg_lib.signal.leads import LEADS

STEP = 0.002  # s
_GRID = np.arange(-0.16, 0.24, STEP)
_TWELVE = twelve_leads(np.eye(8))  # (12, 8)
EDGE = 0.005  # QRS lasts while the vector of eight leads exceeds this fraction of its peak
EXTRASYSTOLES = {
    "PAC": "supraventricular extrasystoles",
    "PVC": "ventricular extrasystoles",
    "PRC(S)": "extrasystoles",
}
T_END = 2.3  # the T wave ends this many widths after its peak
RHYTHM_CODES = ("AFIB", "AFLT", "SVTAC", "PACE")
BEATS = ("PAC", "PVC", "BIGU", "TRIGU", "PRC(S)")
SLOW, FAST = 60, 100  # per minute; sinus rhythm lies between, as in ECG-QA's normal RR interval
CALM = (50, 100)  # per minute; rates of a normal ECG (ACC/AHA/HRS, bradycardia, 2018)
QTC = {"M": 0.45, "F": 0.46}  # s; longer is prolonged (AHA/ACC/HRS, part IV, 2009)
Q_EDGE = 0.02  # mV; smaller deflections of a QRS do not count as waves
Q_SECONDS = 0.03  # s; least duration of a pathological Q wave, in two neighbouring leads
NEIGHBOURS = (("I", "aVL"), ("II", "III", "aVF"), *((f"V{i}", f"V{i + 1}") for i in range(2, 6)))
STRAIN = 0.5  # grade from which readers report ischaemia along with left ventricular hypertrophy


@dataclass(frozen=True)
class Measures:
    """Measures of the noise-free usual beat, in mV and s, with leads in the order of LEADS."""

    r: np.ndarray  # (12,) highest point of the QRS
    s: np.ndarray  # (12,) lowest point
    q: np.ndarray  # (12,) depth of the first wave if it is negative, >= 0
    q_duration: np.ndarray  # (12,) duration of that wave, s
    st: np.ndarray  # (12,)
    t: np.ndarray  # (12,)
    axis_deg: float
    qrs_duration: float
    qrs_onset: float  # s from R
    t_end: float  # s from R

    @property
    def sokolow(self) -> float:
        """Sokolow-Lyon index: S in V1 + the larger R of V5 and V6, mV."""
        return float(-self.s[6] + max(self.r[10], self.r[11]))

    @property
    def cornell(self) -> float:
        """Cornell voltage: R in aVL + S in V3, mV."""
        return float(self.r[4] - self.s[8])


def measure(beat: Heartbeat) -> Measures:
    """Measure the usual beat (kind 0) from its waves."""
    wave = waves()
    qrs = wave.group["qrs"][1:]  # without the pacing spike
    away = _GRID[None, :] - beat.at[0, qrs, None]
    sd = beat.sd[0, qrs]
    shape = np.exp(-0.5 * (away / np.where(away < 0, sd[:, :1], sd[:, 1:])) ** 2)
    eight = beat.weights[0][:, qrs] @ shape
    length = np.sqrt((eight**2).sum(0))
    inside = np.flatnonzero(length > EDGE * length.max())
    leads = _TWELVE @ eight
    rows = np.arange(12)
    peak = leads.argmax(1)
    q, q_duration = first_negative(leads)
    area = leads.sum(1)
    st, t = (wave.slots.index(s) for s in ("st", "t"))
    flat = _TWELVE @ beat.weights[0][:, [st, t]]
    # augmented leads are smaller than limb leads by sqrt(3) / 2 for the same vector
    axis = np.degrees(np.arctan2(area[5] * 2 / np.sqrt(3), area[0]))
    return Measures(
        r=leads[rows, peak],
        s=leads.min(1),
        q=q,
        q_duration=q_duration,
        st=flat[:, 0],
        t=flat[:, 1],
        axis_deg=float(axis),
        qrs_duration=float((inside[-1] - inside[0] + 1) * STEP),
        qrs_onset=float(_GRID[inside[0]]),
        t_end=float(beat.at[0, t] + T_END * beat.sd[0, t, 1]),
    )


def first_negative(leads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return depth (mV) and duration (s) of the first wave of each lead's QRS if it is negative.

    A preceding wave that does not reach `Q_EDGE` does not count. The duration is from where the
    lead falls below -`Q_EDGE` to where it rises above it again. Both are 0 if the QRS begins with
    an r wave.

    Parameters
    ----------
    leads : (L, T) float, mV
        QRS complexes sampled every `STEP` seconds.

    Returns
    -------
    tuple of (L,) float and (L,) float
    """
    below, end = leads < -Q_EDGE, leads.shape[1]
    start = below.argmax(1)
    risen = leads > Q_EDGE
    r = np.where(risen.any(1), risen.argmax(1), end)
    depth, duration = np.zeros(len(leads)), np.zeros(len(leads))
    for i in np.flatnonzero((start > 0) & (start < r)):
        back = int(below[i, start[i] :].argmin())  # 0 if negative to the end of the grid
        stop = start[i] + back if back else end
        depth[i], duration[i] = -leads[i, start[i] : stop].min(), (stop - start[i]) * STEP
    return depth, duration


def axis_class(degrees: float) -> str:
    """Return ECG-QA's class: normal -30..90, left -90..-30, right 90..180, else extreme."""
    if -30 <= degrees <= 90:
        return "normal heart axis"
    if -90 <= degrees < -30:
        return "left axis deviation"
    return "right axis deviation" if degrees > 90 else "extreme axis deviation"


def intervals(visit: Visit, beats: Beats, beat: Heartbeat, found: Measures) -> dict[str, float]:
    """Return mean intervals (s), QTc by Bazett; no P duration and PR interval without P waves."""
    rr = float(np.diff(beats.times[beats.inside]).mean()) if beats.inside.sum() > 1 else beats.rr
    qt = found.t_end - found.qrs_onset
    out = {"rr interval": rr}
    if not set(RHYTHM_CODES) & set(visit.findings):
        out["p duration"] = beat.p_duration
        out["pr interval"] = found.qrs_onset - beat.p_onset
    out |= {"qrs duration": found.qrs_duration, "qt interval": qt, "qt corrected": qt / rr**0.5}
    return {name: round(float(value), 4) for name, value in out.items()}


def labels(
    rng: np.random.Generator, visit: Visit, found: Measures, times: dict[str, float]
) -> dict[str, float]:
    """Return codes with likelihoods as in PTB-XL: 100, 80, 50 or 15; 0 for form and rhythm."""
    table, out = population()["diseases"], {}
    doubt = rng.random(len(visit.findings) + 1)
    for i, code in enumerate(sorted(visit.findings)):
        if code in table:
            out[code] = 100.0
            if code in visit.uncertain:
                out[code] = 50.0 if doubt[i] < 0.6 else 15.0
    if not out and within_limits(visit, found, times):
        out["NORM"] = 100.0 if doubt[-1] < 0.6 else (80.0 if doubt[-1] < 0.9 else 50.0)
    for code in BEATS:
        if code in visit.findings:
            out[code] = 0.0
    if "LVH" in out and visit.modifiers.get("strain", 0) >= STRAIN and not _repolarises(out):
        out["ISC_"] = 100.0
    out.update({code: 0.0 for code in out if code not in _diagnostic()})
    if not set(RHYTHM_CODES) & set(visit.findings):
        out[_sinus(visit, 60 / times["rr interval"])] = 0.0
    voltage = found.sokolow > 3.5 or found.cornell > (2.0 if visit.sex == "F" else 2.8)
    if voltage and ("LVH" in out or ("NORM" not in out and found.sokolow > 3.9)):
        out["VCLVH"] = 0.0
    if "1AVB" in out:
        out["LPR"] = 0.0
    out.update({code: 0.0 for code in _forms(visit, found, out) if code not in out})
    return out


def within_limits(visit: Visit, found: Measures, times: dict[str, float]) -> bool:
    """Return whether an ECG without disease may be called normal.

    It may not if its rate, heart axis, PR interval or QTc is outside the limits, or if it has
    bigeminy or trigeminy. Such an ECG has neither NORM nor a disease among its labels.
    """
    low, high = NORMAL_RANGES["pr interval"]
    return (
        CALM[0] <= 60 / times["rr interval"] <= CALM[1]
        and axis_class(found.axis_deg) == "normal heart axis"
        and low <= times.get("pr interval", low) <= high
        and times["qt corrected"] <= QTC[visit.sex]
        and not {"BIGU", "TRIGU"} & set(visit.findings)
    )


def _forms(visit: Visit, found: Measures, codes: dict[str, float]) -> list[str]:
    """Return the forms that readers report along with a diagnosis if they are marked."""
    st, t = found.st[_judged()], found.t[_judged()]
    named = any(code.startswith(("ISC", "INJ")) or code == "DIG" for code in codes)
    out = []
    if (visit.stage == "middle" and (t < -0.12).sum() >= 2) or (named and (t < -0.2).sum() >= 2):
        out.append("INVT")
    depressed = (st < -0.1).sum() >= 2
    if visit.stage == "early":
        out.append("STD_" if "PMI" in codes else "STE_")  # no lead lies over the posterior wall
        named |= bool({"IPMI", "IPLMI"} & set(codes))
    if named and depressed:
        out.append("STD_")
    waves_q = len(q_leads(found)) if visit.stage in ("middle", "old") else 0
    if waves_q >= 2:
        out.append("QWAVE")
    if waves_q >= 4 or visit.findings.get("IVCD", 0) > 0.75:
        out.append("ABQRS")
    return out


def attributes(
    visit: Visit, beats: Beats, found: Measures, times: dict[str, float], codes: dict[str, float]
) -> dict:
    """Return the `EcgRecord.attributes` of a simulated ECG, without noise."""
    inside = beats.inside
    out = {
        "heart_axis": axis_class(found.axis_deg),
        "axis_degrees": round(found.axis_deg, 1),
        "intervals": times,
        "extrasystoles": [name for code, name in EXTRASYSTOLES.items() if code in codes],
        "form_leads": form_leads(found, codes),
        "severity": visit.severity,
        "beat_times": [round(float(x), 4) for x in beats.times[inside]],
        "beat_kinds": ["NSVA"[k] for k in beats.kinds[inside]],
    }
    if visit.stage:
        stage = visit.stage if visit.stage_known else "unknown"
        out["infarction_stage"] = f"{stage} stage of myocardial infarction"
    return out


def form_leads(found: Measures, codes: dict[str, float]) -> dict[str, list[str]]:
    """Return the leads that show each form finding, or the three most affected if none is clear."""
    judged = np.zeros(12, dtype=bool)
    judged[_judged()] = True
    size = {
        "INVT": (-found.t, 0.08),
        "STD_": (-found.st, 0.05),
        "STE_": (found.st, 0.10),
        "LOWT": (0.2 - np.abs(found.t), 0.08),
        "NT_": (0.2 - found.t, 0.10),
        "NDT": (0.2 - found.t, 0.10),
        "NST_": (np.abs(found.st), 0.05),
        "DIG": (-found.st, 0.05),
        "TAB_": (-found.t, 0.05),
    }
    out = {}
    for code, (value, limit) in size.items():
        if code in codes:
            where = judged & (value > limit)
            if not where.any():
                where = np.zeros(12, dtype=bool)
                where[np.argsort(np.where(judged, -value, np.inf))[:3]] = True
            out[code] = [lead for lead, seen in zip(LEADS, where, strict=True) if seen]
    if "QWAVE" in codes:
        out["QWAVE"] = q_leads(found)
    return out


def q_leads(found: Measures) -> list[str]:
    """Return the leads with a pathological Q wave or QS that a neighbouring lead has too.

    The wave lasts at least 0.03 s and is at least 0.1 mV and a quarter of R deep; aVR and V1 are
    not judged. This follows the fourth universal definition of myocardial infarction, Thygesen et
    al., Circulation 138 (2018) e618.
    """
    deep = (found.q > 0.1) & (found.q > 0.25 * np.maximum(found.r, 0.05))
    deep &= found.q_duration > Q_SECONDS - STEP / 2
    seen = {lead for lead, is_deep in zip(LEADS, deep, strict=True) if is_deep}
    kept = set().union(*(seen.intersection(g) for g in NEIGHBOURS if len(seen.intersection(g)) > 1))
    return [lead for lead in LEADS if lead in kept]


def _repolarises(codes: dict[str, float]) -> bool:
    """Return whether the codes include a disease of ST and T."""
    table = population()["diseases"]
    groups = {table[code]["group"] for code in codes if code in table}
    return bool(groups & {"ischaemia", "injury", "repolarisation", "st", "drug"})


@cache
def _diagnostic() -> frozenset[str]:
    """Return the codes that have a likelihood; forms and rhythms are stated without one."""
    return frozenset(FINDINGS.index[["diagnostic" in kinds for kinds in FINDINGS["kinds"]]])


def _judged() -> np.ndarray:
    """Return the leads whose ST and T are judged: not aVR, nor V1, where T may be negative."""
    return np.array([i for i, lead in enumerate(LEADS) if lead not in ("aVR", "V1")])


def _sinus(visit: Visit, rate: float) -> str:
    """Return the code of a sinus rhythm by mean rate (per minute) and regularity."""
    if "SARRH" in visit.findings:
        return "SARRH"
    if rate < SLOW:
        return "SBRAD"
    return "STACH" if rate > FAST else "SR"

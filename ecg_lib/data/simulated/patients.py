"""Draw patients, their diseases, and the course of these over one to three ECGs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from ecg_lib.data.simulated.simulator_tables import population, waves

STAGES = ("early", "middle", "old")
MODIFIES = {  # row of waves.yaml without a label -> its finding, and how often it comes with it
    "strain": ("LVH", 0.65),
    "rv_strain": ("RVH", 0.45),
    "retrograde_p": ("SVTAC", 0.5),
    "st_up": ("NST_", 0.25),
}


@dataclass
class Visit:
    """A patient at the time of one ECG; `findings` maps codes to grades 0..1."""

    age: float
    sex: str
    severity: float
    recorded_at: str
    findings: dict[str, float] = field(default_factory=dict)
    uncertain: set[str] = field(default_factory=set)
    modifiers: dict[str, float] = field(default_factory=dict)  # rows of waves.yaml without a label
    stage: str = ""  # of the infarction: early, middle, old
    stage_known: bool = True
    rate: float = 70.0  # per minute
    atrial_hz: float = 0.0  # Hz of the flutter waves that conduct the beats


def draw_visits(rng: np.random.Generator, number: int) -> list[Visit]:
    """Draw the visits of one patient with `number` ECGs, in order of time (`population.yaml`)."""
    table = population()
    severity = float(rng.random())
    shape = table["severity"]
    diseased = rng.random() < 1 / (1 + math.exp((shape["middle"] - severity) / shape["width"]))
    sex = "F" if rng.random() < table["female"] else "M"
    mean, sd = table["age"]["abnormal" if diseased else "normal"]
    low, high = table["age"]["limits"]
    age = min(max(mean + sd * rng.standard_normal(), low), high)
    diseases = _draw_diseases(rng, severity) if diseased else []
    courses = _courses(rng, diseases, number)
    if diseases and not any(any(course) for course in courses.values()):
        courses[diseases[0]][-1] = True
    grades = {code: _grade(rng, code, severity) for code in diseases}
    unsure = {c for c in diseases if rng.random() < table["diseases"][c].get("uncertain", 0.0)}
    modifiers = _modifiers(rng, diseases, table["unspecific_t"])
    stage = _first_stage(rng, table["stage_at_onset"])
    known = rng.random() >= table["stage_unknown"]
    usual = _rate(rng, table["rate"]["SR"], severity)

    visits, when = [], _first_date(rng, table)
    first = when
    for k in range(number):
        present = [code for code in diseases if courses[code][k]]
        visit = Visit(
            age=float(round(age + (when - first).days / 365.25)),
            sex=sex,
            severity=round(severity, 4),
            recorded_at=when.isoformat(timespec="seconds"),
            # a disease waxes and wanes slightly between ECGs
            findings={
                c: min(max(grades[c] + 0.08 * rng.standard_normal(), waves_floor(c)), 1.0)
                for c in present
            },
            uncertain=unsure & set(present),
            rate=usual + 4.0 * rng.standard_normal(),
        )
        if any(table["diseases"][c]["course"] == "acute" for c in present):
            visit.stage, visit.stage_known = STAGES[stage], known
            stage = min(2, stage + int(rng.random() < 0.85))
        if present:
            visit.modifiers = {
                m: g for m, g in modifiers.items() if m == "NDT" or MODIFIES[m][0] in present
            }
        _variants(rng, visit, table)
        visits.append(visit)
        low, high = table["days_between"]
        when += timedelta(days=float(np.exp(rng.uniform(np.log(low), np.log(high)))))
    return visits


def waves_floor(code: str) -> float:
    """Return the least grade at which a finding counts as present."""
    change = waves().changes.get(code)
    return change.grade[0] if change else 0.0


def _grade(rng: np.random.Generator, code: str, severity: float) -> float:
    change = waves().changes.get(code)
    low, high = change.grade if change else (0.0, 1.0)
    return low + (high - low) * (0.65 * rng.random() + 0.35 * severity)


def _draw_diseases(rng: np.random.Generator, severity: float) -> list[str]:
    """Draw one disease or more by weight, at most one per group.

    The number grows with severity. Companions of a drawn disease (`joins`) are drawn with it if
    they are compatible with the others.
    """
    table = population()["diseases"]
    wanted = 1 + rng.poisson(population()["severity"]["extra"] * severity)
    codes = list(table)
    # exponential race: gives the order of a weighted draw without replacement
    race = rng.standard_exponential(len(codes)) / np.array([table[c]["weight"] for c in codes])
    chosen: list[str] = []
    for i in np.argsort(race):
        if len(chosen) == wanted:
            break
        if all(_agree(table, codes[i], other) for other in chosen):
            chosen.append(codes[i])
            for code, chance in table[codes[i]].get("joins", {}).items():
                if rng.random() < chance and all(_agree(table, code, c) for c in chosen):
                    chosen.append(code)
    return sorted(chosen, key=codes.index)


def _agree(table: dict, one: str, other: str) -> bool:
    a, b = table[one], table[other]
    return (
        a["group"] != b["group"]
        and b["group"] not in a.get("excludes", ())
        and a["group"] not in b.get("excludes", ())
    )


def _courses(rng: np.random.Generator, diseases: list[str], number: int) -> dict[str, list[bool]]:
    """Draw the course of each disease; a paroxysmal one follows the disease that it joins."""
    table, courses = population()["diseases"], {}
    for code in diseases:
        courses[code] = _course(rng, code, number)
    for code in diseases:
        for follower in table[code].get("joins", {}):
            if follower in courses and table[follower]["course"] == "paroxysmal":
                courses[follower] = courses[code]
    return courses


def _course(rng: np.random.Generator, code: str, number: int) -> list[bool]:
    """Draw on which of the patient's ECGs a disease is present."""
    table = population()
    if table["diseases"][code]["course"] == "paroxysmal":
        return [bool(x) for x in rng.random(number) < table["paroxysm"]]
    onset = 0
    if rng.random() >= table["onset_at_start"]:
        onset = int(rng.integers(number))
    return [k >= onset for k in range(number)]


def _modifiers(
    rng: np.random.Generator, diseases: list[str], unspecific: float
) -> dict[str, float]:
    """Draw changes of a diseased heart that have no label of their own."""
    found: dict[str, float] = {}
    for row, (code, share) in MODIFIES.items():
        if code in diseases and rng.random() < share:
            found[row] = float(rng.uniform(*waves().changes[row].grade))
    table = population()["diseases"]
    named = any(table[c]["group"] in ("repolarisation", "ischaemia", "drug") for c in diseases)
    if not named and rng.random() < unspecific:
        found["NDT"] = float(rng.uniform(0.10, 1.20))
    return found


def _first_stage(rng: np.random.Generator, odds: dict[str, float]) -> int:
    return int(np.searchsorted(np.cumsum([odds[s] for s in STAGES]), rng.random()))


def _first_date(rng: np.random.Generator, table: dict) -> datetime:
    start = datetime(table["first_year"], 1, 1, 8)
    day = timedelta(days=int(rng.integers(365 * table["years"])))
    return start + day + timedelta(seconds=int(rng.integers(9 * 3600)))


def _rate(rng: np.random.Generator, entry: dict, severity: float) -> float:
    low, high = entry["mean"]
    rate = low + (high - low) * severity + entry["sd"] * rng.standard_normal()
    return min(max(rate, entry["limits"][0]), entry["limits"][1])


def _variants(rng: np.random.Generator, visit: Visit, table: dict) -> None:
    """Draw rate, sinus arrhythmia and premature beats, which healthy people have as well."""
    chance = {c: a + (b - a) * visit.severity for c, (a, b) in table["variants"].items()}
    draws = dict(zip(chance, rng.random(len(chance)), strict=True))
    rates = table["rate"]
    limits = rates["SR"]["limits"]
    if "AFIB" in visit.findings:
        visit.rate = float(rng.uniform(*rates["AFIB"]["range"]))
    elif "PACE" in visit.findings:
        visit.rate = float(rng.uniform(*rates["PACE"]["range"]))
    elif "SVTAC" in visit.findings:
        visit.rate = float(rng.uniform(*rates["SVTAC"]["range"]))
    elif "AFLT" not in visit.findings:
        visit.rate = min(max(visit.rate, limits[0]), limits[1])
        if draws["SBRAD"] < chance["SBRAD"]:
            visit.rate = float(rng.uniform(*rates["SBRAD"]["range"]))
        elif draws["STACH"] < chance["STACH"] and "1AVB" not in visit.findings:
            visit.rate = float(rng.uniform(*rates["STACH"]["range"]))
        if draws["SARRH"] < chance["SARRH"] and visit.rate < 95:
            visit.findings["SARRH"] = float(rng.random())
    if "PACE" in visit.findings:
        return
    if "AFIB" in visit.findings:
        chance["PVC"] = table["pvc_in_afib"]
    if visit.rate < 140:
        if draws["PAC"] < chance["PAC"] and not {"AFIB", "AFLT"} & set(visit.findings):
            visit.findings["PAC"] = 1.0
        elif draws["PVC"] < chance["PVC"]:
            visit.findings["PVC"] = 1.0
        if {"PAC", "PVC"} & set(visit.findings):
            pattern = rng.random()
            if pattern < table["bigeminy"]:
                visit.findings["BIGU"] = 1.0
            elif pattern < table["bigeminy"] + table["trigeminy"]:
                visit.findings["TRIGU"] = 1.0
            elif rng.random() < table["aberrant"] and not {"AFIB", "AFLT"} & set(visit.findings):
                # a broad premature beat of uncertain origin
                visit.findings.pop("PAC", None)
                visit.findings.pop("PVC", None)
                visit.findings["PRC(S)"] = 1.0

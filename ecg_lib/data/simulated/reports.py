"""Write reports of simulated ECGs.

`write_report` imitates a short clinical report: wording and style vary, and it states most but not
all findings. `full_report` states everything that is true of a record in ECG-QA's own words. The
order of its statements is random, so that a model has to read them and cannot rely on positions.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar

import numpy as np

from ecg_lib.data.record import EcgRecord
from ecg_lib.data.simulated.simulator_tables import phrases
from ecg_lib.knowledge.findings import is_certain, name_of

T = TypeVar("T")
# ECG-QA's normal ranges, s (from fairseq-signals' generator; questions are built from them)
NORMAL_RANGES = {
    "rr interval": (0.6, 1.0),
    "p duration": (0.0, 0.12),
    "pr interval": (0.12, 0.20),
    "qrs duration": (0.06, 0.11),
    "qt interval": (0.33, 0.43),
    "qt corrected": (0.33, 0.45),
}


def write_report(rng: np.random.Generator, labels: dict[str, float], attributes: dict) -> str:
    """Write a report from labels (code -> likelihood) and attributes; `rng` picks the wording."""
    table = phrases()
    odds = table["say"]
    u = iter(rng.random(3 * len(labels) + 24).tolist())

    def pick(wordings: Sequence[T]) -> T:
        return wordings[int(next(u) * len(wordings))]

    form_leads = attributes.get("form_leads", {})
    stage = attributes.get("infarction_stage", "unknown").split()[0]
    rhythm: list[str] = []
    findings: list[str] = []
    for code, likelihood in labels.items():
        if next(u) > odds["finding"] and len(labels) > 2:
            continue
        text = pick(table["findings"][code])
        if "{leads}" in text:
            text = text.format(leads=_short(form_leads.get(code, [])))
        elif "{stage}" in text:
            text = text.format(stage=pick(table["stage"][stage]))
        if not is_certain(likelihood) and code != "NORM":
            text = pick(table["uncertain"]).format(text)
        (rhythm if code in table["rhythm_first"] else findings).append(text)
    axis = attributes["heart_axis"]
    said = []
    if next(u) < odds["normal_axis" if axis.startswith("normal") else "axis"]:
        said.append(pick(table["axis"][axis]))
    sentences = rhythm + said + findings
    negation = table["negations"][int(next(u) * len(table["negations"]))]
    if next(u) < odds["negation"] and not set(negation["none_of"]) & set(labels):
        sentences.append(pick(negation["say"]))
    for kind, leads in attributes.get("noise", {}).items():
        if next(u) < odds["noise"]:
            sentences.append(pick(table["noise"][kind]).format(leads=_short(leads)))
    style = pick(table["styles"])
    return style["separator"].join(sentences) + style["end"]


def full_report(record: EcgRecord, rng: np.random.Generator | None = None) -> str:
    """State all that is true of a record in ECG-QA's words; `rng` shuffles the statements."""
    said = statements(record)
    if rng is not None:
        said = [said[i] for i in rng.permutation(len(said))]
    return ". ".join(said) + "."


def statements(record: EcgRecord, about: Collection[str] | None = None) -> list[str]:
    """Return what is true of a record as separate statements.

    They give the labels (an uncertain one as "possible ..."), the leads of form findings, the heart
    axis, noise with its leads, extrasystoles, the infarction stage, and whether each interval is
    below, within or above its normal range. Absent noise, extrasystoles and infarction are stated.

    Parameters
    ----------
    record : EcgRecord
    about : collection of str, optional
        Names of ECG-QA's attribute types. Statements are then brief, for a model that is asked
        about these only: they cover labels and these attributes, but not what is absent or within
        its normal range, nor the leads of form findings.

    Returns
    -------
    list of str
    """
    attributes, brief = record.attributes, about is not None
    form_leads, noise = attributes.get("form_leads", {}), attributes.get("noise", {})
    said = []
    for code, likelihood in record.labels.items():
        doubt = "" if is_certain(likelihood) or code == "NORM" else "possible "
        where = " in " + _listed(form_leads[code]) if form_leads.get(code) and not brief else ""
        said.append(f"{doubt}{name_of(code)}{where}")
    if "heart_axis" in attributes and _wanted("heart_axis", about):
        said.append(attributes["heart_axis"])
    if _wanted("noise", about):
        said += [f"{kind} in {_listed(leads)}" for kind, leads in noise.items()]
        said += [] if noise or brief else ["no noise"]
    if _wanted("extra_systole", about):
        said += list(attributes.get("extrasystoles", [])) or ([] if brief else ["no extrasystoles"])
    if _wanted("stage_of_infarction", about):
        stage = attributes.get("infarction_stage")
        said += [stage] if stage else [] if brief else ["none of myocardial infarction"]
    if _wanted("numeric_feature", about):
        for name, value in attributes.get("intervals", {}).items():
            place = range_of(name, value)
            said += [] if brief and place == "within" else [f"{name} {place} the normal range"]
    return said


def _wanted(kind: str, about: Collection[str] | None) -> bool:
    return about is None or kind in about


def range_of(name: str, seconds: float) -> str:
    """Return "below", "within" (limits included) or "above" for an interval's normal range."""
    low, high = NORMAL_RANGES[name]
    return "below" if seconds < low else "above" if seconds > high else "within"


def _short(leads: list[str]) -> str:
    """Write leads as reports do: "ii, avf, v5", or "all leads" for all twelve."""
    return "all leads" if len(leads) == 12 else ", ".join(lead.lower() for lead in leads)


def _listed(leads: list[str]) -> str:
    """Write leads in ECG-QA's words: "lead II, lead aVF"."""
    return ", ".join(f"lead {lead}" for lead in leads)

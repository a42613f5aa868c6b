"""What a reader writes about an ECG.

`write_report` imitates a short clinical report: wording and style vary, most but not all is said.
`full_report` says everything that is true of a record in ECG-QA's own words; the order of its
statements is drawn, so that a reader has to read it instead of remembering positions.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from ecg_lib.data.record import EcgRecord
from ecg_lib.data.simulated.simulator_tables import phrases
from ecg_lib.knowledge.findings import is_certain, name_of

# ECG-QA's normal ranges, s (fairseq-signals' generator; see the questions built from them)
NORMAL_RANGES = {
    "rr interval": (0.6, 1.0),
    "p duration": (0.0, 0.12),
    "pr interval": (0.12, 0.20),
    "qrs duration": (0.06, 0.11),
    "qt interval": (0.33, 0.43),
    "qt corrected": (0.33, 0.45),
}


def write_report(rng: np.random.Generator, labels: dict[str, float], attributes: dict) -> str:
    """Report from labels (code -> likelihood) and attributes; `rng` picks the words."""
    table = phrases()
    odds = table["say"]
    u = iter(rng.random(3 * len(labels) + 24).tolist())

    def pick(wordings: list[str]) -> str:
        return wordings[int(next(u) * len(wordings))]

    form_leads = attributes.get("form_leads", {})
    stage = attributes.get("infarction_stage", "unknown").split()[0]
    rhythm, findings = [], []
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
    """Everything true of a record as short statements in ECG-QA's words; `rng` shuffles them."""
    said = statements(record)
    if rng is not None:
        said = [said[i] for i in rng.permutation(len(said))]
    return ". ".join(said) + "."


def statements(record: EcgRecord, about: Collection[str] | None = None) -> list[str]:
    """What is true of a record, one statement each.

    Labels (an uncertain one is "possible ..."), the leads of form findings, heart axis, noise with
    its leads, extrasystoles, infarction stage, and each interval as below, within or above its
    normal range. Absent groups are said to be absent.

    Parameters
    ----------
    about : names of ECG-QA's attribute types, optional
        Brief statements for a reader who is asked about these only: labels and these, without
        what is absent or within its range, and without where a form finding is seen.
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
    """Where an interval lies: "below", "within" (limits included) or "above" its normal range."""
    low, high = NORMAL_RANGES[name]
    return "below" if seconds < low else "above" if seconds > high else "within"


def _short(leads: list[str]) -> str:
    """Leads as reports write them: "ii, avf, v5"; all twelve are "all leads"."""
    return "all leads" if len(leads) == 12 else ", ".join(lead.lower() for lead in leads)


def _listed(leads: list[str]) -> str:
    """Leads in ECG-QA's words: "lead II, lead aVF"."""
    return ", ".join(f"lead {lead}" for lead in leads)

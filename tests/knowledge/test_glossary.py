"""Tests of the glossary: every ECG-QA finding has an entry, and every entry states its urgency."""

import re

import pytest

from ecg_lib.errors import DataError
from ecg_lib.knowledge import advice, glossary
from ecg_lib.knowledge.glossary import URGENCIES, by_urgency, load_glossary
from ecg_lib.questions.vocabulary import answers_in

INFARCTIONS = [
    *(t for t in load_glossary() if t.startswith("myocardial infarction")),
    "early stage of myocardial infarction",
    "middle stage of myocardial infarction",
    "unknown stage of myocardial infarction",
]
INJURIES = [t for t in load_glossary() if t.startswith("subendocardial injury")]


def test_every_finding_that_ecg_qa_can_answer_has_an_entry_and_none_is_empty():
    answers = set(answers_in("superclass", "diagnostic", "form", "rhythm", "axis", "stage"))
    answers |= set(answers_in("stage_other", "noise", "extrasystole"))
    assert answers - set(load_glossary()) == {"none of myocardial infarction"}
    for entry in load_glossary().values():
        assert all(text.endswith(".") for text in (entry.what, entry.see_doctor)), entry.term
        assert not entry.leads_to or entry.leads_to.endswith("."), entry.term
        assert not entry.remark or entry.remark.endswith("."), entry.term


def test_infarction_injury_and_st_elevation_are_emergencies_and_come_first():
    emergencies = [*INFARCTIONS, *INJURIES, "non-specific st elevation"]
    assert len(INFARCTIONS) == 13 and len(INJURIES) == 5
    assert {load_glossary()[term].urgency for term in emergencies} == {"emergency"}
    named = ["digitalis effect", "long qt-interval", "subendocardial injury in anteroseptal leads"]
    assert by_urgency(named) == named[::-1]
    assert by_urgency(["left axis deviation", "sinus rhythm"]) == [
        "left axis deviation",
        "sinus rhythm",
    ]
    with pytest.raises(DataError, match="'tea' has no entry"):
        by_urgency(["tea"])


@pytest.mark.parametrize(
    "term, signs",
    [
        ("inverted t-waves", ["at once, by emergency call, with chest pain"]),
        ("sinus tachycardia", ["at once, by emergency call, with breathlessness", "fainting"]),
        ("right axis deviation", ["at once, by emergency call, with breathlessness", "fainting"]),
        ("sinus bradycardia", ["at once after fainting"]),
        ("ventricular premature complex", ["at once with fainting"]),
        ("myocardial infarction", ["same day when newly found without complaints"]),
        ("old stage of myocardial infarction", ["emergency call, with chest pain"]),
        ("left ventricular hypertrophy", ["planned visit when newly found"]),
    ],
)
def test_when_to_see_a_doctor_names_the_signs_that_cannot_wait(term, signs):
    assert all(sign in load_glossary()[term].see_doctor for sign in signs)


def test_only_real_consequences_are_what_a_finding_can_lead_to():
    """Only consequences of a finding follow "It can lead to:"."""
    other = r"normal rhythm|Expected|onsequence of|Often harmless|Usually nothing|Mostly|goes with"
    for term, entry in load_glossary().items():
        said = advice.explained(term)
        assert said.startswith(entry.what) and said.endswith(f"{advice.WHEN} {entry.see_doctor}")
        assert not re.search(rf"It can lead to: [^.]*({other})", said), term
        assert ("It can lead to" in said) == bool(entry.leads_to)
    assert "lead to" not in advice.explained("sinus rhythm")


def test_bradycardia_and_fibrillation_cite_the_limits_and_guidelines_of_today():
    slow = load_glossary()["sinus bradycardia"].what
    assert "60 beats per minute" in slow and "below 50" in slow
    assert load_glossary()["atrial fibrillation"].source.endswith("2024")
    assert not any(e.source.endswith("fibrillation, 2020") for e in advice.load_advice().entries)


@pytest.mark.parametrize(
    "old, new, named",
    [
        ("urgency: emergency", "urgency: hurry", "urgency must be one of"),
        ("At once, by emergency call.", "At once.", "must name the emergency call"),
        ("  - term: abnormal qrs", "  - term: strange qrs", "'abnormal qrs' has no entry"),
        ("what: The T wave is flat.", "what: ' '", "what must be text"),
        ("    what: The T wave is flat.\n", "", "'low amplitude t-wave' needs what"),
        ("    what: The T wave", "    colour: red\n    what: The T wave", "unknown field colour"),
        ("- term: burst noise", "- term: static noise", "'static noise' occurs twice"),
    ],
)
def test_a_mistake_in_the_table_is_named(tmp_path, monkeypatch, old, new, named):
    text = glossary._FILE.read_text()
    assert old in text
    (tmp_path / "glossary.yaml").write_text(text.replace(old, new, 1))
    monkeypatch.setattr(glossary, "_FILE", tmp_path / "glossary.yaml")
    with pytest.raises(DataError, match=named):
        load_glossary.__wrapped__()
    assert set(URGENCIES) >= {entry.urgency for entry in load_glossary().values()}

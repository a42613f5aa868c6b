"""Tests of advice by age and sex: one entry per age, urgent advice first, the dialogue's turns."""

import re

import pytest

from ecg_lib.errors import DataError
from ecg_lib.evaluation import dialogue
from ecg_lib.knowledge import advice
from ecg_lib.knowledge.glossary import load_glossary


@pytest.mark.parametrize("sex, word", [("F", "woman"), ("M", "man")])
def test_every_age_from_18_has_one_entry_and_the_entry_names_it(sex, word):
    for age in range(18, 121):
        said = advice.load_advice().entry(age, sex).advice
        assert said.startswith(f"A {word} ") and said.endswith(".")
        low, high = re.match(
            r"A \w+ (?:under (?P<u>\d+)|of (?P<a>\d+) (?:to (?P<b>\d+)|or more))", said
        ).group("a", "b")
        under = re.search(r"under (\d+)", said)
        assert age < int(under[1]) if under else int(low) <= age <= int(high or 120)
    assert all(entry.source for entry in advice.load_advice().entries)


def test_a_gap_between_ages_is_named(tmp_path, monkeypatch):
    text = advice._FILE.read_text().replace("ages: [50, 64]", "ages: [51, 64]")
    (tmp_path / "advice.yaml").write_text(text)
    monkeypatch.setattr(advice, "_FILE", tmp_path / "advice.yaml")
    advice.load_advice.cache_clear()
    with pytest.raises(DataError, match="advice.yaml: 0 entries for sex F at age 50"):
        advice.load_advice()
    monkeypatch.undo()
    advice.load_advice.cache_clear()


@pytest.mark.parametrize(
    "age, sex, heard",
    [
        (51.0, "M", "a 51 year old man"),
        (80.0, "M", "an 80 year old man"),
        (18.0, "F", "an 18 year old woman"),
        (float("nan"), "M", "69 year old woman"),
        (7.0, "F", "69 year old woman"),
        (80.0, "", "69 year old woman"),
    ],
)
def test_the_patient_asks_with_age_and_sex_or_the_papers_patient_does(monkeypatch, age, sex, heard):
    monkeypatch.setattr(dialogue, "say", lambda model, processor, text: "said to " + text)
    turn = dialogue.advise(None, None, "sinus bradycardia", age, sex)
    assert heard in turn.question and turn.said == "said to " + turn.question
    assert "sinus bradycardia" in turn.question
    assert load_glossary()["sinus bradycardia"].see_doctor in turn.truth
    right = {51: "A man of 40 to 64", 18: "A woman under 50"}
    other = "A man of 65 or more" if "80" in heard else "A woman of 65 or more"
    assert right.get(age, other) in turn.truth
    assert turn.truth.startswith(advice.load_advice().alarm)  # urgent advice comes first
    asked = advice.load_advice().asked
    assert turn.question.split()[-4:] == asked[0].split()[-4:]  # a wording that practice contains


def test_an_urgent_term_gives_only_urgent_advice():
    """A man of 50 with a fresh infarction is told to call for help, not to check his lipids."""
    said = advice.advised("early stage of myocardial infarction", 50, "M")
    assert said == "When to see a doctor: At once, by emergency call."
    for term, entry in load_glossary().items():
        said = advice.advised(term, 50, "M")
        assert "emergency call" in said
        assert ("A man of 40 to 64" in said) == (not entry.urgent), term


@pytest.mark.parametrize("age", [18, 50, 80])
def test_women_and_men_hear_the_same_alarm_signs(age):
    woman, man = (advice.advised("inverted t-waves", age, sex) for sex in "FM")
    alarm = advice.load_advice().alarm
    assert woman.startswith(alarm) and man.startswith(alarm)
    for sign in ("chest pain", "breathlessness", "fainting", "nausea", "back", "jaw"):
        assert sign in alarm
    assert not any("infarction" in e.advice for e in advice.load_advice().entries)


def test_advice_without_the_emergency_call_is_refused(tmp_path, monkeypatch):
    text = advice._FILE.read_text().replace("Make an emergency call", "Think of it")
    (tmp_path / "advice.yaml").write_text(text)
    monkeypatch.setattr(advice, "_FILE", tmp_path / "advice.yaml")
    with pytest.raises(DataError, match="advice.yaml: alarm must name the emergency call"):
        advice.load_advice.__wrapped__()

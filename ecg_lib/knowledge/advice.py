"""Advice by age and sex, and what terms mean: the sentences of the dialogue of Figure 4."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from ecg_lib.errors import DataError
from ecg_lib.knowledge.glossary import load_glossary

YOUNGEST, OLDEST = 18, 120  # years
WHEN = "When to see a doctor:"
_FILE = Path(__file__).parent / "advice.yaml"


@dataclass(frozen=True)
class Entry:
    """Advice for one sex and ages from `ages[0]` to `ages[1]` years, and where to read on."""

    sex: str
    ages: tuple[int, int]
    advice: str
    source: str

    @property
    def span(self) -> str:
        """The words for sex and age that the advice begins with."""
        return self.advice.split(" should ")[0]


@dataclass(frozen=True)
class Advice:
    """All entries, alarm signs, words for people by sex, and ways of asking.

    Of people and ways of asking the dialogue's own come first.
    """

    alarm: str
    people: dict[str, tuple[str, ...]]
    asked: tuple[str, ...]
    entries: tuple[Entry, ...]

    def entry(self, age: float, sex: str) -> Entry:
        """The one for a sex (F, M) and an age of 18 to 120 years."""
        return next(e for e in self.entries if e.sex == sex and e.ages[0] <= int(age) <= e.ages[1])


@lru_cache(maxsize=1)
def load_advice() -> Advice:
    """The advice, checked.

    Raises
    ------
    DataError
        Some age of a sex has no advice, or two; or the alarm signs name no emergency call.
    """
    content = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    entries = tuple(
        Entry(e["sex"], tuple(e["ages"]), e["advice"], e["source"]) for e in content["entries"]
    )
    if "emergency call" not in str(content.get("alarm")):
        raise DataError(f"{_FILE.name}: alarm must name the emergency call")
    for sex in content["people"]:
        for age in range(YOUNGEST, OLDEST + 1):
            n = sum(e.sex == sex and e.ages[0] <= age <= e.ages[1] for e in entries)
            if n != 1:
                raise DataError(f"{_FILE.name}: {n} entries for sex {sex} at {age}; give one")
    return Advice(
        content["alarm"],
        {sex: tuple(words) for sex, words in content["people"].items()},
        tuple(content["asked"]),
        entries,
    )


def question(term: str, age: float, sex: str) -> str:
    """What a patient asks about a term of the glossary, in the dialogue's own words."""
    known = load_advice()
    return worded(known.asked[0], term, age, known.people[sex][0])


def worded(way: str, term: str, age: float, person: str) -> str:
    """A way of asking, filled in; an age follows its article, as in "an 80", "a 69"."""
    years = int(age)
    article = "an" if years in (8, 11, 18) or 80 <= years < 90 else "a"
    return way.format(age=f"{article} {years}", person=person, term=term)


def advised(term: str, age: float, sex: str) -> str:
    """When to see a doctor about a term of the glossary, and what to do at this age and sex.

    Of an urgent term only the first is said; of the others the alarm signs go before everything.
    """
    known, entry = load_advice(), load_glossary()[term]
    if entry.urgent:
        return f"{WHEN} {entry.see_doctor}"
    return f"{known.alarm} {WHEN} {entry.see_doctor} {known.entry(age, sex).advice}"


def explained(term: str) -> str:
    """What a term of the glossary means, what it can lead to and when to see a doctor."""
    entry = load_glossary()[term]
    said = [entry.what, entry.remark]
    said += [f"It can lead to: {entry.leads_to}"] if entry.leads_to else []
    return " ".join(filter(None, [*said, f"{WHEN} {entry.see_doctor}"]))


def meaning(term: str) -> str:
    """The question after what a term means, in the dialogue's own words."""
    return f"What does {term} mean?"

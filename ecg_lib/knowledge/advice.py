"""What to do at which age and sex, for the dialogue of Figure 4: sentences to practise it with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import yaml

from ecg_lib.errors import DataError
from ecg_lib.knowledge.glossary import load_glossary

YOUNGEST, OLDEST = 18, 120  # years
_FILE = Path(__file__).parent / "advice.yaml"


@dataclass(frozen=True)
class Entry:
    """Advice for a sex and an age from `ages[0]` to `ages[1]` years, and where to read on."""

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
    """All entries; words for people by sex and ways of asking, first those of a dialogue."""

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
        Some age of a sex has no advice, or two.
    """
    content = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    entries = tuple(
        Entry(e["sex"], tuple(e["ages"]), e["advice"], e["source"]) for e in content["entries"]
    )
    for sex in content["people"]:
        for age in range(YOUNGEST, OLDEST + 1):
            n = sum(e.sex == sex and e.ages[0] <= age <= e.ages[1] for e in entries)
            if n != 1:
                raise DataError(f"{_FILE.name}: {n} entries for sex {sex} at {age}; give one")
    return Advice(
        {sex: tuple(words) for sex, words in content["people"].items()},
        tuple(content["asked"]),
        entries,
    )


def question(term: str, age: float, sex: str) -> str:
    """As a dialogue asks."""
    known = load_advice()
    return known.asked[0].format(age=_number(int(age)), person=known.people[sex][0], term=term)


def advised(term: str, age: float, sex: str) -> str:
    """What to do at this age and sex, and when to see a doctor about a term of the glossary."""
    return (
        f"{load_advice().entry(age, sex).advice} When to see a doctor: "
        f"{load_glossary()[term].see_doctor}"
    )


def explained(term: str) -> str:
    """What a term of the glossary means."""
    entry = load_glossary()[term]
    return f"{entry.what} It can lead to: {entry.leads_to} When to see a doctor: {entry.see_doctor}"


def meaning(term: str) -> str:
    """As a dialogue asks."""
    return f"What does {term} mean?"


def talks(n: int, seed: int) -> list[tuple[str, str]]:
    """`n` questions and answers to practise the dialogue: meanings, and half as often advice."""
    rng, terms = np.random.default_rng(seed), list(load_glossary())
    said = []
    for k in range(n):
        term = terms[rng.integers(len(terms))]
        if k % 3:
            said.append((meaning(term), explained(term)))
            continue
        age, sex, person = _anyone(rng)
        ways = load_advice().asked
        asked = ways[rng.integers(len(ways))]
        said.append(
            (asked.format(age=_number(age), person=person, term=term), advised(term, age, sex))
        )
    return said


def spans(n: int, seed: int) -> list[tuple[str, str]]:
    """`n` short questions after what advice hangs on: "58 year old woman?", "A woman of 50 to 64".

    In a whole answer these words are few among many, and a small model overlooks the age.
    """
    rng, known, said = np.random.default_rng(seed), load_advice(), []
    for _ in range(n):
        age, sex, person = _anyone(rng)
        said.append((f"{age} year old {person}?", known.entry(age, sex).span))
    return said


def _number(age: int) -> str:
    """An age after its article: an 80, a 69."""
    return f"{'an' if age in (8, 11, 18) or 80 <= age < 90 else 'a'} {age}"


def _anyone(rng: np.random.Generator) -> tuple[int, str, str]:
    """Age up to 95 years, sex and a word for such a person, each value as likely."""
    age, sex = int(rng.integers(YOUNGEST, 96)), ("F", "M")[rng.integers(2)]
    people = load_advice().people[sex]
    return age, sex, people[rng.integers(len(people))]

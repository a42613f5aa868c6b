"""Give advice by age and sex, and explain terms, in the sentences of Figure 4's dialogue."""

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
    """Advice for one sex and ages from `ages[0]` to `ages[1]` years, with further reading."""

    sex: str
    ages: tuple[int, int]
    advice: str
    source: str

    @property
    def span(self) -> str:
        """Opening words of the advice, which name sex and age."""
        return self.advice.split(" should ")[0]


@dataclass(frozen=True)
class Advice:
    """All entries, the alarm signs, words for people by sex, and ways of asking.

    The dialogue uses the first word for a person and the first way of asking.
    """

    alarm: str
    people: dict[str, tuple[str, ...]]
    asked: tuple[str, ...]
    entries: tuple[Entry, ...]

    def entry(self, age: float, sex: str) -> Entry:
        """Return the entry for a sex (F, M) and an age from 18 to 120 years."""
        return next(e for e in self.entries if e.sex == sex and e.ages[0] <= int(age) <= e.ages[1])


@lru_cache(maxsize=1)
def load_advice() -> Advice:
    """Read and check the advice.

    Raises
    ------
    DataError
        An age of one sex has no entry or several, or the alarm signs do not name the emergency
        call.
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
                raise DataError(f"{_FILE.name}: {n} entries for sex {sex} at age {age}; give one")
    return Advice(
        content["alarm"],
        {sex: tuple(words) for sex, words in content["people"].items()},
        tuple(content["asked"]),
        entries,
    )


def question(term: str, age: float, sex: str) -> str:
    """Return a patient's question about a term of the glossary, as the dialogue words it."""
    known = load_advice()
    return worded(known.asked[0], term, age, known.people[sex][0])


def worded(way: str, term: str, age: float, person: str) -> str:
    """Fill in a way of asking; the age gets its article, as in "an 80", "a 69"."""
    years = int(age)
    article = "an" if years in (8, 11, 18) or 80 <= years < 90 else "a"
    return way.format(age=f"{article} {years}", person=person, term=term)


def advised(term: str, age: float, sex: str) -> str:
    """Return when to see a doctor about a term, and the advice for this age and sex.

    For an urgent term the answer says only when to see a doctor. For other terms it begins with
    the alarm signs.

    Parameters
    ----------
    term : str
        A term of the glossary.
    age : float
        18 to 120 years.
    sex : {"F", "M"}
    """
    known, entry = load_advice(), load_glossary()[term]
    if entry.urgent:
        return f"{WHEN} {entry.see_doctor}"
    return f"{known.alarm} {WHEN} {entry.see_doctor} {known.entry(age, sex).advice}"


def explained(term: str) -> str:
    """Explain a term of the glossary: its meaning, consequences, and when to see a doctor."""
    entry = load_glossary()[term]
    said = [entry.what, entry.remark]
    said += [f"It can lead to: {entry.leads_to}"] if entry.leads_to else []
    return " ".join(filter(None, [*said, f"{WHEN} {entry.see_doctor}"]))


def meaning(term: str) -> str:
    """Return the question for the meaning of a term, as the dialogue words it."""
    return f"What does {term} mean?"

"""The closed answer list of ECG-QA, and answers as text and back.

Answers are sets: the order in which ECG-QA lists them carries nothing, and one label contains
commas, so text is joined with ``"; "`` and read back by matching labels, never by splitting.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from ecg_lib.errors import DataError
from ecg_lib.signal.leads import LEADS

JOINER = "; "
NONE = "none"
YES, NO, NOT_SURE = "yes", "no", "not sure"
# Groups of leads that a question may ask about but no answer names.
REGIONS = MappingProxyType(
    {
        "the limb leads": tuple(f"lead {name}" for name in LEADS[:6]),
        "the chest leads": tuple(f"lead {name}" for name in LEADS[6:]),
    }
)
_HERE = Path(__file__).parent


@lru_cache(maxsize=1)
def _groups() -> dict[str, frozenset[str]]:
    table = pd.read_csv(_HERE / "answers.csv", comment="#", keep_default_na=False)
    return {row.answer: frozenset(row.groups.split()) for row in table.itertuples()}


@lru_cache(maxsize=1)
def _template_groups() -> dict[int, frozenset[str]]:
    table = pd.read_csv(_HERE / "template_classes.csv", comment="#")
    return {int(row.template_id): frozenset(row.groups.split()) for row in table.itertuples()}


@lru_cache(maxsize=1)
def all_answers() -> tuple[str, ...]:
    """The 104 answers of ECG-QA's PTB-XL form, in canonical order."""
    return tuple(_groups())


@lru_cache(maxsize=1)
def _rank() -> dict[str, int]:
    return {answer: i for i, answer in enumerate(all_answers())}


def in_vocabulary(answers: Iterable[str]) -> bool:
    """Whether every answer is one of the 104."""
    return all(answer in _rank() for answer in answers)


@cache
def answers_in(*groups: str) -> tuple[str, ...]:
    """Answers belonging to any of ``groups`` (``verify``, ``noise``...), in canonical order."""
    wanted = set(groups)
    return tuple(answer for answer, own in _groups().items() if own & wanted)


def classes_for(
    template_id: int, question_type: str = "", attribute: Sequence[str] | None = None
) -> tuple[str, ...]:
    """The answers that one question admits.

    A choose question admits its two options (the text before " of " in numeric ones) and "none";
    every other question its template's list.

    Raises
    ------
    DataError
        The template is not one of ECG-QA's 70.
    """
    if question_type.endswith("choose") and attribute:
        ranges = answers_in("range")
        options = {
            next((r for r in ranges if text.startswith(f"{r} of ")), text) for text in attribute
        }
        return canonical_order(options | {NONE})
    groups = _template_groups().get(int(template_id))
    if groups is None:
        raise DataError(
            f"template_id {template_id}: not one of ECG-QA's templates 1-70; check the "
            "question file"
        )
    return answers_in(*sorted(groups))


def canonical_order(answers: Iterable[str]) -> tuple[str, ...]:
    """Distinct answers in ECG-QA's order; answers outside its list follow alphabetically."""
    rank = _rank()
    return tuple(sorted(set(answers), key=lambda a: (rank.get(a, len(rank)), a)))


def answer_text(answers: Iterable[str]) -> str:
    """An answer set as the text to learn, e.g. ``"sinus rhythm; q waves present"``."""
    return JOINER.join(canonical_order(answers))


def normalise(text: str) -> str:
    """Compatibility-composed, case-folded text with single spaces and no closing punctuation."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(plain.split()).strip(" .,;!")


@lru_cache(maxsize=4096)
def _matcher(classes: tuple[str, ...]) -> tuple[re.Pattern, re.Pattern, dict[str, str]]:
    """Patterns of one label and of nothing but labels in a row, and the spelling of each label."""
    spelling = {normalise(name): name for name in classes}
    longest_first = sorted(spelling, key=len, reverse=True)
    names = "|".join(re.escape(name) for name in longest_first)
    label = rf"(?<!\w)(?:{names})(?!\w)"
    joint = r"(?:\s*,\s*(?:and\s+)?|\s+and\s+)"
    return re.compile(label), re.compile(rf"{label}(?:{joint}{label})*"), spelling


def parse_answer(
    text: str, classes: Iterable[str] | None = None, strict: bool = False
) -> frozenset[str]:
    """Labels named in ``text``, matched greedily and longest first against ``classes``.

    Parameters
    ----------
    text : str
        What a model wrote, or joined answers in any order and case.
    classes : iterable of str, optional
        The answers to look for; ECG-QA's whole list by default.
    strict : bool
        Forgive no words around the labels. What stands between two ";" is read as labels only where
        labels, commas and "and" use it up, and is kept as it is (normalised) otherwise: a hedge or
        a denial ("no lvh") is then a wrong answer and never a label.

    Returns
    -------
    frozenset of str
        Labels in the spelling of ``classes``. The empty set where no label is recognised. Unless
        ``strict``, "none" counts only where the text names nothing else.
    """
    classes = all_answers() if classes is None else tuple(classes)
    label, labels_only, spelling = _matcher(classes)
    found: set[str] = set()
    for member in filter(None, map(normalise, normalise(text).split(";"))):
        if classes and (not strict or labels_only.fullmatch(member)):
            found.update(spelling[hit] for hit in label.findall(member))
        elif strict:
            found.add(member)
    return frozenset(found if strict or found == {NONE} else found - {NONE})

"""Define ECG-QA's closed list of answers, and turn answers into text and back.

Answers are sets: the order in which ECG-QA lists them has no meaning. One label contains commas, so
answers are joined with `"; "` and read back by matching labels, never by splitting.
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
# Groups of leads that questions ask about but that are not answers.
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
    """Return the 104 answers of ECG-QA's PTB-XL form, in canonical order."""
    return tuple(_groups())


@lru_cache(maxsize=1)
def _rank() -> dict[str, int]:
    return {answer: i for i, answer in enumerate(all_answers())}


def in_vocabulary(answers: Iterable[str]) -> bool:
    """Return whether every answer is one of the 104."""
    return all(answer in _rank() for answer in answers)


@cache
def answers_in(*groups: str) -> tuple[str, ...]:
    """Return the answers in any of `groups` (`verify`, `noise`, ...), in canonical order."""
    wanted = set(groups)
    return tuple(answer for answer, own in _groups().items() if own & wanted)


def classes_for(
    template_id: int, question_type: str = "", attribute: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Return the answers that one question admits.

    A choose question admits its two options and "none"; of an option about a measurement, only the
    text before " of " counts. Every other question admits its template's list.

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
    """Sort distinct answers in ECG-QA's order; answers outside its list follow alphabetically."""
    rank = _rank()
    return tuple(sorted(set(answers), key=lambda a: (rank.get(a, len(rank)), a)))


def answer_text(answers: Iterable[str]) -> str:
    """Join an answer set into the text to learn, e.g. `"sinus rhythm; q waves present"`."""
    return JOINER.join(canonical_order(answers))


def normalise(text: str) -> str:
    """Return text in NFKC form, case-folded, with single spaces and no punctuation at its ends."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(plain.split()).strip(" .,;!")


@lru_cache(maxsize=4096)
def _matcher(classes: tuple[str, ...]) -> tuple[re.Pattern, re.Pattern, dict[str, str]]:
    """Return patterns for one label and for a run of labels only, and the labels' spelling."""
    spelling = {normalise(name): name for name in classes}
    longest_first = sorted(spelling, key=len, reverse=True)
    names = "|".join(re.escape(name) for name in longest_first)
    label = rf"(?<!\w)(?:{names})(?!\w)"
    joint = r"(?:\s*,\s*(?:and\s+)?|\s+and\s+)"
    return re.compile(label), re.compile(rf"{label}(?:{joint}{label})*"), spelling


def parse_answer(
    text: str, classes: Iterable[str] | None = None, strict: bool = False
) -> frozenset[str]:
    """Find the labels named in `text`, matching greedily and longest first against `classes`.

    Parameters
    ----------
    text : str
        What a model wrote, or joined answers in any order and case.
    classes : iterable of str, optional
        The answers to look for; ECG-QA's whole list by default.
    strict : bool
        Allow no words around the labels. The text between two ";" is read as labels only if it
        holds nothing but labels, commas and "and"; otherwise it is kept as it is (normalised). A
        hedge or a denial ("no lvh") is then a wrong answer and never a label.

    Returns
    -------
    frozenset of str
        Labels in the spelling of `classes`; empty if none is recognised. Unless `strict`, "none"
        counts only if the text names nothing else.
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

"""Synthetic reports, and full-sentence questions about pairs of them, for training the tiny LLM.

Findings are drawn independently of which occur together. A cohort's own reports are repetitive, and
a model this small memorises pairs of them before it learns to compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from ecg_lib.knowledge.findings import load_findings, name_of
from ecg_lib.knowledge.zero_shot_labels import LABEL_TEXT
from ecg_lib.questions.facets import CHANGES
from ecg_lib.questions.templates import load_templates
from ecg_lib.questions.vocabulary import (
    JOINER,
    NO,
    NONE,
    YES,
    all_answers,
    answers_in,
    classes_for,
)
from ecg_lib.tiny_llm.paraphrases import begin_sentence, load_paraphrases, one_variant
from ecg_lib.tiny_llm.pick import pick

# Names of the two ECGs of a comparison, in order.
PLACES = (("the first ECG", "the second ECG"), ("the previous ECG", "the recent ECG"))
# (in the first report, in the second report) -> answer to "where is the finding?"
WHERE = {
    (True, False): "first",
    (False, True): "second",
    (True, True): "both",
    (False, False): NONE,
}
MOST, LONG = 3, 5  # most findings per relation (see `CHANGES`), in shorter and longer report pairs
DOUBT = 0.3  # share of findings that a report calls possible
_OWN = 0.4  # share of questions in a train wording of templates.yaml; the rest are paraphrased


class Topic(NamedTuple):
    """The names a list may hold, the answer if it is empty, and whether doubtful names stay out."""

    names: frozenset[str]
    empty: str
    certain: bool


class Exercise(NamedTuple):
    """One or two reports, and questions about them with their answers."""

    reports: tuple[str, ...]
    turns: list[tuple[str, str]]


def names_in_reports() -> list[str]:
    """List the names that a report may state and a question may ask about.

    They are the closed answers except leads and ranges, and the findings that ECG-QA asks about but
    never uses as answers. "Normal ecg" is left out, because the statements beside it cannot be
    arbitrary.
    """
    answers = answers_in("diagnostic", "form", "rhythm", "axis", "stage", "noise", "extrasystole")
    return [
        *answers,
        *(
            name
            for name in load_findings()["name"]
            if name not in answers and name != name_of("NORM")
        ),
    ]


def single_tokens() -> list[str]:
    """List the names that become single tokens: findings, answers and labels.

    A cardiologist reads each as one word. "Possible" and a finding also share one token, because a
    model this small does not connect the two words.
    """
    possible = [f"possible {name}" for name in names_in_reports()]
    return [*load_findings()["name"], *all_answers(), *LABEL_TEXT.values(), *possible]


def synthetic_pairs(n: int, seed: int, questions: int = 12) -> list[Exercise]:
    """Draw `n` pairs of reports with full-sentence questions; half of the comparisons are true."""
    rng, names = np.random.default_rng(seed), names_in_reports()
    wordings: dict[tuple[str, str], tuple[str, ...]] = {}
    for template in load_templates().values():
        if template.two_ecgs:
            key = template.wording, template.fill["old"]
            wordings.setdefault(key, template.wordings.train)
    pairs = []
    for _ in range(n):
        reports, where = two_reports(rng, names, 1 + int(rng.integers(LONG)))
        place = dict(zip(("old", "new"), pick(rng, PLACES), strict=True))
        pairs.append(
            Exercise(
                reports, [_asked_of_two(rng, where, place, wordings) for _ in range(questions)]
            )
        )
    return pairs


@cache
def topics() -> dict[str, Topic]:
    """Return the topics of list questions: those that templates query about a whole ECG."""
    known = set(names_in_reports())
    found: dict[str, Topic] = {}
    for template in load_templates().values():
        topic, names = template.fill.get("topic"), known & set(classes_for(template.id))
        if template.form == "query" and topic and names and not template.options:
            certain = template.facet.startswith("certain")
            found.setdefault(topic, Topic(frozenset(names), template.empty, certain))
    return found


def list_answer(names: Sequence[str], topic: str) -> str:
    """Return the names that belong to a topic as an answer, in the given order."""
    of = topics()[topic]
    return JOINER.join([name for name in names if name in of.names] or [of.empty])


def list_changed(
    rng: np.random.Generator, where: Mapping[str, tuple[bool, bool]]
) -> tuple[str, str]:
    """Draw a relation for a list question; return it and the findings that it holds for."""
    relation = pick(rng, [name for name in CHANGES if name != "absent"])
    return relation, list_answer(
        [name for name, pattern in where.items() if pattern == CHANGES[relation]], "finding"
    )


def two_reports(
    rng: np.random.Generator, names: Sequence[str], most: int
) -> tuple[tuple[str, str], dict[str, tuple[bool, bool]]]:
    """Draw two reports and return, for each finding, whether the first and the second state it."""
    drawn_names = [names[i] for i in rng.permutation(len(names))[: 4 * most]]
    cut = np.cumsum(1 + rng.integers(most, size=4))
    groups = np.split(drawn_names[: cut[-1]], cut[:-1])
    held = [
        (str(name), CHANGES[relation])
        for relation, group in zip(CHANGES, groups, strict=True)
        for name in group
    ]
    where = dict(held[i] for i in rng.permutation(len(held)))
    reports = []
    for k in (0, 1):
        there = [name for name, pattern in where.items() if pattern[k]]
        reports.append(report_of(there, {name: rng.random() < DOUBT for name in there}))
    return (reports[0], reports[1]), where


def report_of(names: Sequence[str], doubt: Mapping[str, bool]) -> str:
    """Write a report that states the names, with "possible" before those in doubt."""
    return ". ".join(("possible " if doubt[name] else "") + name for name in names)


def change_question(
    rng: np.random.Generator,
    finding: str,
    held: tuple[bool, bool],
    senses: Mapping[str, Sequence[str]],
) -> tuple[str, str]:
    """Ask briefly whether a finding is new, gone, kept or absent; return question and answer."""
    truth, relation = _claimed(rng, held)
    return f"{finding} {pick(rng, senses[relation])}?", YES if relation == truth else NO


def pick_finding(
    rng: np.random.Generator, where: dict[str, tuple[bool, bool]]
) -> tuple[str, tuple[bool, bool]]:
    """Draw a finding and return which reports state it; each relation is equally likely."""
    pattern = pick(rng, list(CHANGES.values()))
    finding = pick(rng, [name for name, held in where.items() if held == pattern])
    return finding, pattern


def _claimed(rng: np.random.Generator, held: tuple[bool, bool]) -> tuple[str, str]:
    """Return the relation that holds and one to ask about; they agree half of the time."""
    truth = next(name for name, pattern in CHANGES.items() if pattern == held)
    others = [name for name in CHANGES if name != truth]
    return truth, truth if rng.random() < 0.5 else pick(rng, others)


def _asked_of_two(
    rng: np.random.Generator, where: dict, place: dict[str, str], wordings: dict
) -> tuple[str, str]:
    """Draw a full-sentence question and its answer; lists follow the order of the reports."""
    ways, kind = load_paraphrases(), rng.random()
    finding, held = pick_finding(rng, where)
    if kind < 0.05:
        text = one_variant(pick(rng, ways.where), rng).format(finding=finding, **place)
        return text, {"first": place["old"], "second": place["new"]}.get(WHERE[held], WHERE[held])
    if kind < 0.15:
        k = rng.integers(2)
        text = begin_sentence(
            one_variant(pick(rng, ways.one), rng).format(
                finding=finding, old=place[("old", "new")[k]]
            )
        )
        return text, YES if held[k] else NO
    if kind < 0.30:
        relation, named = list_changed(rng, where)
        values = place | {"topic": "finding"}
        return _sentence(rng, wordings, f"which_{relation}", values), named
    if kind < 0.40:
        question, answer = change_question(rng, finding, held, ways.senses)
        return question.format(**place), answer
    truth, relation = _claimed(rng, held)
    text = _sentence(rng, wordings, relation, place | {"finding": finding})
    return text, YES if relation == truth else NO


def _sentence(rng: np.random.Generator, wordings: dict, wording: str, values: dict) -> str:
    own = rng.random() < _OWN
    sentence = pick(
        rng, wordings[wording, values["old"]] if own else load_paraphrases().ask[wording]
    )
    return begin_sentence(one_variant(sentence, rng).format(**values))

"""Synthetic reports, and questions in sentences about pairs of them: the tiny LLM's practice.

Findings are drawn without regard to which occur together. A cohort's own reports repeat themselves,
and a model this small learns their pairs by heart sooner than it learns to compare.
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

# Names of the ECGs of a comparison: first, second.
PLACES = (("the first ECG", "the second ECG"), ("the previous ECG", "the recent ECG"))
# Where a finding is: in the first report, in the second.
WHERE = {
    (True, False): "first",
    (False, True): "second",
    (True, True): "both",
    (False, False): NONE,
}
MOST, LONG = 3, 5  # findings per relation: only in one report, in both, in none but asked about
DOUBT = 0.3  # share of findings that a report calls possible
_OWN = 0.4  # share of questions in a train wording of templates.yaml; the others are paraphrased


class Topic(NamedTuple):
    """The names that a list may hold, its answer where it is empty, and whether doubts stay out."""

    names: frozenset[str]
    empty: str
    certain: bool


class Exercise(NamedTuple):
    """One report or two, and questions about them with their answers."""

    reports: tuple[str, ...]
    turns: list[tuple[str, str]]


def names_in_reports() -> list[str]:
    """Names that a report may state and a question ask about.

    They are the closed answers except leads and ranges, and the findings that ECG-QA asks for but
    never answers with. "Normal ecg" is left out: what stands beside it is not left to chance.
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
    """Names that are one word to a cardiologist and become one token: findings, answers, labels.

    So is a possible finding: a model this small does not connect the two words.
    """
    possible = [f"possible {name}" for name in names_in_reports()]
    return [*load_findings()["name"], *all_answers(), *LABEL_TEXT.values(), *possible]


def synthetic_pairs(n: int, seed: int, questions: int = 12) -> list[Exercise]:
    """Draw `n` pairs of reports, asked about in sentences; half of the comparisons are true."""
    rng, names = np.random.default_rng(seed), names_in_reports()
    wordings: dict[tuple[str, str], tuple[str, ...]] = {}
    for template in load_templates().values():
        if template.two_ecgs:
            key = template.wording, template.fill["old"]
            wordings.setdefault(key, template.wordings.train)
    pairs = []
    for _ in range(n):
        reports, where = two_reports(rng, names, 1 + rng.integers(LONG))
        place = dict(zip(("old", "new"), pick(rng, PLACES), strict=True))
        pairs.append(
            Exercise(
                reports, [_asked_of_two(rng, where, place, wordings) for _ in range(questions)]
            )
        )
    return pairs


@cache
def topics() -> dict[str, Topic]:
    """Topics of lists: those that templates query about a whole ECG."""
    known, found = set(names_in_reports()), {}
    for template in load_templates().values():
        topic, names = template.fill.get("topic"), known & set(classes_for(template.id))
        if template.form == "query" and topic and names and not template.options:
            certain = template.facet.startswith("certain")
            found.setdefault(topic, Topic(frozenset(names), template.empty, certain))
    return found


def list_answer(names: Sequence[str], topic: str) -> str:
    """The names of a topic as an answer, in the order given."""
    of = topics()[topic]
    return JOINER.join([name for name in names if name in of.names] or [of.empty])


def list_changed(
    rng: np.random.Generator, where: Mapping[str, tuple[bool, bool]]
) -> tuple[str, str]:
    """A relation that a list may be asked about, and the findings that it holds for, as answer."""
    relation = pick(rng, [name for name in CHANGES if name != "absent"])
    return relation, list_answer(
        [name for name, pattern in where.items() if pattern == CHANGES[relation]], "finding"
    )


def two_reports(
    rng: np.random.Generator, names: Sequence[str], most: int
) -> tuple[tuple[str, str], dict[str, tuple[bool, bool]]]:
    """Two reports, and for each finding whether it is in the first and in the second."""
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
    return tuple(reports), where


def report_of(names: Sequence[str], doubt: Mapping[str, bool]) -> str:
    """A report that states the names, and those in doubt as possible."""
    return ". ".join(("possible " if doubt[name] else "") + name for name in names)


def change_question(
    rng: np.random.Generator,
    finding: str,
    held: tuple[bool, bool],
    senses: Mapping[str, Sequence[str]],
) -> tuple[str, str]:
    """Ask in a word or two whether a finding is new, gone, kept or absent; question and answer."""
    truth, relation = _claimed(rng, held)
    return f"{finding} {pick(rng, senses[relation])}?", YES if relation == truth else NO


def pick_finding(
    rng: np.random.Generator, where: dict[str, tuple[bool, bool]]
) -> tuple[str, tuple[bool, bool]]:
    """A finding, and which reports hold it; each relation is equally likely."""
    pattern = pick(rng, list(CHANGES.values()))
    finding = pick(rng, [name for name, held in where.items() if held == pattern])
    return finding, pattern


def _claimed(rng: np.random.Generator, held: tuple[bool, bool]) -> tuple[str, str]:
    """The relation that holds and the one to ask about; they agree every second time."""
    truth = next(name for name, pattern in CHANGES.items() if pattern == held)
    others = [name for name in CHANGES if name != truth]
    return truth, truth if rng.random() < 0.5 else pick(rng, others)


def _asked_of_two(
    rng: np.random.Generator, where: dict, place: dict[str, str], wordings: dict
) -> tuple[str, str]:
    """A question in a sentence, and its answer; lists are in the order of the reports."""
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

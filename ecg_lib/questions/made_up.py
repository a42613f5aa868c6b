"""Made-up written reports and questions about them: the tiny LLM's practice in looking things up.

Findings are drawn without regard to which occur together. A cohort's own reports repeat themselves,
and a model this small learns their pairs by heart sooner than it learns to compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from ecg_lib.questions.practice import begun, drawn, load_practice
from ecg_lib.questions.templates import load_templates
from ecg_lib.questions.truth import CHANGES
from ecg_lib.questions.vocabulary import JOINER, NO, NONE, NOT_SURE, YES, answers_in, classes_for

# Names of the ECGs of a comparison: first, second.
PLACES = (("the first ECG", "the second ECG"), ("the previous ECG", "the recent ECG"))
# Where a finding is: in the first report, in the second.
WHERE = {(True, False): "first", (False, True): "second", (True, True): "both",
         (False, False): NONE}
_MOST = 3  # findings of one relation: in one report alone, in both, in none but asked about
_LONGEST = 8  # findings of a report that stands alone
_SHORT = 3  # findings of the first such reports
_DOUBT = 0.3  # share of findings that a report calls possible
_OWN = 0.4  # share of questions in a train wording of templates.yaml
_LISTS = 0.35  # share of look-ups that ask for a list
# Steps of a course of look-ups, by the share at which they end: names in short reports that have no
# doubts, all that is asked of one report, two reports with one finding a relation.
SHORT, ALONE, FEW = 0.16, 0.34, 0.52


class Topic(NamedTuple):
    """What a list may name, what it says where there is nothing, whether possible ones stay out."""

    names: frozenset[str]
    empty: str
    certain: bool


class Practice(NamedTuple):
    """One report or two, and questions about them with their answers."""

    reports: tuple[str, ...]
    turns: list[tuple[str, str]]


def stated() -> list[str]:
    """What a report may state and a question ask about: the closed answers but leads and ranges."""
    return list(answers_in("diagnostic", "form", "rhythm", "axis", "stage", "noise",
                           "extrasystole"))


def look_ups(n: int, seed: int, questions: int = 8, start: float = 0.0) -> list[Practice]:
    """Draw `n` texts with short questions, such as "atrial fibrillation gone?": a course.

    Looking a name up is learned soonest in steps, each the ground of the next: whether it is in a
    short report, then longer reports and lists, then in which of two; and sooner from a few
    questions about many texts than from many about few. All at once it is not learned for long.
    Answers but lists are balanced. `start` is the share of the course that is left out.
    """
    rng, names = np.random.default_rng(seed), stated()
    texts = []
    for k in range(n):
        done = start + (1 - start) * k / n
        if done < SHORT:
            text = _alone(rng, names, questions, _SHORT, lists=0.0, doubts=0.0)
        elif done < ALONE or rng.random() < (0.5 if done < FEW else 0.25):
            text = _alone(rng, names, questions, _LONGEST)
        else:
            text = _looked_up_in_two(rng, names, questions, 1 if done < FEW else _MOST)
        texts.append(text)
    return texts


def made_up_pairs(n: int, seed: int, questions: int = 12) -> list[Practice]:
    """Draw `n` pairs of reports, asked about in sentences; each comparison is true as often as not.
    """
    rng, names = np.random.default_rng(seed), stated()
    wordings: dict[tuple[str, str], tuple[str, ...]] = {}
    for template in load_templates().values():
        if template.two_ecgs:
            key = template.wording, template.fill["old"]
            wordings.setdefault(key, template.wordings.train)
    pairs = []
    for _ in range(n):
        reports, where = _two_reports(rng, names)
        place = dict(zip(("old", "new"), _any(rng, PLACES), strict=True))
        pairs.append(Practice(reports, [_asked_of_two(rng, where, place, wordings)
                                        for _ in range(questions)]))
    return pairs


def _alone(rng: np.random.Generator, names: Sequence[str], questions: int, longest: int,
           lists: float = _LISTS, doubts: float = _DOUBT) -> Practice:
    """A report, and of findings that are in it or not whether they are; a share asks for lists."""
    n = 1 + rng.integers(longest)
    some = [names[i] for i in rng.permutation(len(names))[: 3 * n + 2]]
    held, others = some[:n], some[n:]
    doubt = {name: rng.random() < doubts for name in held}
    turns: list[tuple[str, str]] = []
    for _ in range(questions):
        asked = _topic(rng, held, doubt) if rng.random() < lists else None
        if asked and asked not in turns:
            turns.append(asked)
        elif rng.random() < 0.5:
            name = _any(rng, held)
            turns.append((f"{name}?", NOT_SURE if doubt[name] else YES))
        else:
            turns.append((f"{_any(rng, others)}?", NO))
    return Practice((_report(held, doubt),), turns)


@cache
def topics() -> dict[str, Topic]:
    """Topics of lists, by the templates that query them of a whole ECG."""
    known, found = set(stated()), {}
    for template in load_templates().values():
        topic, names = template.fill.get("topic"), known & set(classes_for(template.id))
        if template.form == "query" and topic and names and not template.options:
            certain = template.facet.startswith("certain")
            found.setdefault(topic, Topic(frozenset(names), template.empty, certain))
    return found


@cache
def _topics_of(name: str) -> tuple[str, ...]:
    return tuple(topic for topic, of in topics().items() if name in of.names)


def _topic(rng: np.random.Generator, held: Sequence[str], doubt: Mapping[str, bool]
           ) -> tuple[str, str]:
    """A topic, mostly one of which there is something, and what there is of it."""
    topic = _any(rng, _topics_of(_any(rng, held)) if rng.random() < 0.8 else list(topics()))
    certain = topics()[topic].certain
    return f"{topic}?", _listed([name for name in held if not (certain and doubt[name])], topic)


def _listed(names: Sequence[str], topic: str) -> str:
    """Those of a topic, in the order given."""
    of = topics()[topic]
    return JOINER.join([name for name in names if name in of.names] or [of.empty])


def _changed(rng: np.random.Generator, where: Mapping[str, tuple[bool, bool]]
             ) -> tuple[str, str]:
    """A relation that a list may be asked of, and the findings of which it is true."""
    relation = _any(rng, [name for name in CHANGES if name != "absent"])
    return relation, _listed([name for name, pattern in where.items()
                              if pattern == CHANGES[relation]], "finding")


def _two_reports(rng: np.random.Generator, names: Sequence[str], most: int = _MOST
                 ) -> tuple[tuple[str, str], dict[str, tuple[bool, bool]]]:
    """Two reports, and of each finding in which of them it is."""
    drawn_names = [names[i] for i in rng.permutation(len(names))[: 4 * most]]
    cut = np.cumsum(1 + rng.integers(most, size=4))
    groups = np.split(drawn_names[: cut[-1]], cut[:-1])
    held = [(str(name), CHANGES[relation]) for relation, group in zip(CHANGES, groups, strict=True)
            for name in group]
    where = dict(held[i] for i in rng.permutation(len(held)))
    reports = []
    for k in (0, 1):
        there = [name for name, pattern in where.items() if pattern[k]]
        reports.append(_report(there, {name: rng.random() < _DOUBT for name in there}))
    return tuple(reports), where


def _report(names: Sequence[str], doubt: dict[str, bool]) -> str:
    return ". ".join(("possible " if doubt[name] else "") + name for name in names)


def _looked_up_in_two(rng: np.random.Generator, names: Sequence[str], questions: int,
                      most: int) -> Practice:
    """Two reports, and of a finding where it is, whether it is in one, what became of it."""
    reports, where = _two_reports(rng, names, most)
    senses, place = load_practice().senses, _any(rng, PLACES)
    turns: list[tuple[str, str]] = []
    for _ in range(questions):
        kind = rng.random()
        finding, held = _one_of(rng, where)
        relation, named = _changed(rng, where)
        asked = f"finding {senses[relation][0]}?", named
        if rng.random() < _LISTS and asked not in turns:
            turns.append(asked)
        elif kind < 0.45:
            turns.append((f"{finding} where?", WHERE[held]))
        elif kind < 0.6:
            k = rng.integers(2)
            turns.append((f"{finding} in {place[k]}?", YES if held[k] else NO))
        else:
            turns.append(_sense(rng, finding, held, {r: few[:1] for r, few in senses.items()}))
    return Practice(reports, turns)


def _sense(rng: np.random.Generator, finding: str, held: tuple[bool, bool],
           senses: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """What became of a finding in a word or two, and whether that is so."""
    truth, relation = _claimed(rng, held)
    return f"{finding} {_any(rng, senses[relation])}?", YES if relation == truth else NO


def _one_of(rng: np.random.Generator, where: dict[str, tuple[bool, bool]]
            ) -> tuple[str, tuple[bool, bool]]:
    """A finding of a relation; each relation is as likely."""
    pattern = _any(rng, list(CHANGES.values()))
    finding = _any(rng, [name for name, held in where.items() if held == pattern])
    return finding, pattern


def _claimed(rng: np.random.Generator, held: tuple[bool, bool]) -> tuple[str, str]:
    """The relation that holds, and the one to ask about: the same every second time."""
    truth = next(name for name, pattern in CHANGES.items() if pattern == held)
    others = [name for name in CHANGES if name != truth]
    return truth, truth if rng.random() < 0.5 else _any(rng, others)


def _asked_of_two(rng: np.random.Generator, where: dict, place: dict[str, str], wordings: dict
                  ) -> tuple[str, str]:
    """A question in a sentence, and its answer; lists are in the order of the reports."""
    ways, kind = load_practice(), rng.random()
    finding, held = _one_of(rng, where)
    if kind < 0.15:
        text = drawn(_any(rng, ways.where), rng).format(finding=finding, **place)
        return text, {"first": place["old"], "second": place["new"]}.get(WHERE[held], WHERE[held])
    if kind < 0.3:
        k = rng.integers(2)
        text = begun(drawn(_any(rng, ways.one), rng).format(
            finding=finding, old=place[("old", "new")[k]]))
        return text, YES if held[k] else NO
    if kind < 0.4:
        relation, named = _changed(rng, where)
        values = place | {"topic": "finding"}
        return _sentence(rng, wordings, f"which_{relation}", values), named
    if kind < 0.6:
        question, answer = _sense(rng, finding, held, ways.senses)
        return question.format(**place), answer
    truth, relation = _claimed(rng, held)
    text = _sentence(rng, wordings, relation, place | {"finding": finding})
    return text, YES if relation == truth else NO


def _sentence(rng: np.random.Generator, wordings: dict, wording: str, values: dict) -> str:
    own = rng.random() < _OWN
    sentence = _any(rng, wordings[wording, values["old"]] if own else load_practice().ask[wording])
    return begun(drawn(sentence, rng).format(**values))


def _any(rng: np.random.Generator, options: Sequence):
    return options[rng.integers(len(options))]

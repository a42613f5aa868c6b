"""A course in looking things up, in short questions about made-up reports: the tiny LLM's first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from ecg_lib.questions.made_up import (
    DOUBT,
    MOST,
    PLACES,
    WHERE,
    Practice,
    changed,
    in_words,
    listed,
    one_of,
    pick,
    sense,
    stated,
    topics,
    two_reports,
)
from ecg_lib.questions.practice import load_practice
from ecg_lib.questions.vocabulary import NO, NOT_SURE, YES, answers_in

ANY_NOISE = "noise of any kind"  # as in templates.yaml
# Steps of the course, by the share at which they end: names in short reports that have no doubts,
# all that is asked of one report, two reports with one finding a relation.
SHORT, ALONE, FEW = 0.16, 0.34, 0.52
_SHORT = 3  # findings of the first reports
_LONGEST = 8  # findings of a report that stands alone
_LISTS = 0.35  # share of questions that ask for a list
_NOISY = 0.25  # share of single reports, after the short ones, that name leads with noise


def look_ups(n: int, seed: int, questions: int = 8, start: float = 0.0) -> list[Practice]:
    """Draw `n` texts with short questions, such as "atrial fibrillation gone?": a course.

    Looking a name up is learned soonest in steps, each the ground of the next: whether it is in a
    short report, then longer reports, lists and leads, then in which of two; and sooner from a few
    questions about many texts than from many about few. Where all is asked from the beginning, a
    model this small long learns nothing. Answers but lists are balanced. `start` is the share of
    the course that is left out.
    """
    rng, names = np.random.default_rng(seed), stated()
    texts = []
    for k in range(n):
        done = start + (1 - start) * k / n
        if done < SHORT:
            text = _alone(rng, names, questions, _SHORT, lists=0.0, doubts=0.0)
        elif done < ALONE or rng.random() < (0.5 if done < FEW else 0.25):
            noisy = rng.random() < _NOISY
            text = _noisy(rng, names, questions) if noisy else \
                _alone(rng, names, questions, _LONGEST)
        else:
            text = _looked_up_in_two(rng, names, questions, 1 if done < FEW else MOST)
        texts.append(text)
    return texts


def _alone(rng: np.random.Generator, names: Sequence[str], questions: int, longest: int,
           lists: float = _LISTS, doubts: float = DOUBT) -> Practice:
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
            name = pick(rng, held)
            turns.append((f"{name}?", NOT_SURE if doubt[name] else YES))
        else:
            turns.append((f"{pick(rng, others)}?", NO))
    return Practice((in_words(held, doubt),), turns)


def _noisy(rng: np.random.Generator, names: Sequence[str], questions: int) -> Practice:
    """A report with noise in some leads; of a noise, or of any, whether it is in a lead."""
    kinds, leads = list(answers_in("noise")), list(answers_in("lead"))
    noise = [kinds[i] for i in rng.permutation(len(kinds))[: 1 + rng.integers(2)]]
    there = {name: sorted(rng.permutation(len(leads))[: 1 + rng.integers(8)]) for name in noise}
    others = [name for name in names if name not in kinds]
    said = [f"{name} in {', '.join(leads[i] for i in where)}" for name, where in there.items()]
    said += [others[i] for i in rng.permutation(len(others))[: rng.integers(4)]]
    turns = []
    for _ in range(questions):
        name = pick(rng, [*noise, ANY_NOISE]) if rng.random() < 0.85 else pick(rng, kinds)
        held = set().union(*there.values()) if name == ANY_NOISE else set(there.get(name, ()))
        free = set(range(len(leads))) - held
        wanted = held if held and (not free or rng.random() < 0.5) else free
        where = pick(rng, sorted(wanted))
        turns.append((f"{name} in {leads[where]}?", YES if where in held else NO))
    return Practice((". ".join(said[i] for i in rng.permutation(len(said))),), turns)


@cache
def _topics_of(name: str) -> tuple[str, ...]:
    return tuple(topic for topic, of in topics().items() if name in of.names)


def _topic(rng: np.random.Generator, held: Sequence[str], doubt: Mapping[str, bool]
           ) -> tuple[str, str]:
    """A topic, mostly one of which there is something, and what there is of it."""
    topic = pick(rng, _topics_of(pick(rng, held)) if rng.random() < 0.8 else list(topics()))
    certain = topics()[topic].certain
    return f"{topic}?", listed([name for name in held if not (certain and doubt[name])], topic)


def _looked_up_in_two(rng: np.random.Generator, names: Sequence[str], questions: int,
                      most: int) -> Practice:
    """Two reports, and of a finding where it is, whether it is in one, what became of it."""
    reports, where = two_reports(rng, names, most)
    senses, place = load_practice().senses, pick(rng, PLACES)
    turns: list[tuple[str, str]] = []
    for _ in range(questions):
        kind = rng.random()
        finding, held = one_of(rng, where)
        relation, named = changed(rng, where)
        asked = f"finding {senses[relation][0]}?", named
        if rng.random() < _LISTS and asked not in turns:
            turns.append(asked)
        elif kind < 0.45:
            turns.append((f"{finding} where?", WHERE[held]))
        elif kind < 0.6:
            k = rng.integers(2)
            turns.append((f"{finding} in {place[k]}?", YES if held[k] else NO))
        else:
            turns.append(sense(rng, finding, held, {r: few[:1] for r, few in senses.items()}))
    return Practice(reports, turns)

"""Look-up tasks: short questions about synthetic reports, from easy to hard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from ecg_lib.knowledge.findings import load_findings, name_of
from ecg_lib.questions.vocabulary import NO, NOT_SURE, YES, answers_in
from ecg_lib.tiny_llm.paraphrases import load_paraphrases
from ecg_lib.tiny_llm.pick import pick
from ecg_lib.tiny_llm.synthetic_reports import (
    DOUBT,
    LONG,
    MOST,
    PLACES,
    WHERE,
    Exercise,
    change_question,
    list_answer,
    list_changed,
    names_in_reports,
    pick_finding,
    report_of,
    topics,
    two_reports,
)

ANY_NOISE = "noise of any kind"  # as in templates.yaml
# The share of the course at which each step ends. The steps are: names in short reports without
# doubtful findings, all questions about one report, two reports with one finding per relation, and
# two reports with up to `MOST` per relation.
SHORT, ALONE, FEW, SEVERAL = 0.08, 0.2, 0.3, 0.65
_FIRST, _LONGEST = 3, 8  # most findings per single report, in the first step and later
_LISTS = 0.35  # share of questions that ask for a list
_NOISY, _WHOLE = 0.25, 0.25  # shares of single reports after the first step: noise by lead; normal


def lookup_tasks(n: int, seed: int, questions: int = 8, start: float = 0.0) -> list[Exercise]:
    """Draw `n` exercises with short questions ("atrial fibrillation gone?"), easy ones first.

    A model this small learns to look up a name fastest in steps. When everything is asked from the
    start, it learns nothing for a long time. The first step asks whether a short report states a
    name. Longer reports, lists, leads and "is it normal?" follow, then questions about which of two
    reports states a name, and finally synonyms of "gone". A few questions about each of many texts
    teach faster than many questions about few. Answers are balanced, except for lists.

    Parameters
    ----------
    n : int
        Number of exercises.
    seed : int
        Seed of all random draws.
    questions : int
        Questions per exercise.
    start : float
        Share of the course to skip at the beginning.
    """
    rng, names = np.random.default_rng(seed), names_in_reports()
    texts = []
    for k in range(n):
        done = start + (1 - start) * k / n
        if done < SHORT:
            text = _alone(rng, names, questions, _FIRST, lists=0.0, doubts=0.0)
        elif done < ALONE or rng.random() < (0.5 if done < FEW else 0.25):
            text = _of_one(rng, names, questions)
        else:
            most, words = (1, 1) if done < FEW else (MOST, 1) if done < SEVERAL else (LONG, None)
            text = _looked_up_in_two(rng, names, questions, most, words)
        texts.append(text)
    return texts


def _of_one(rng: np.random.Generator, names: Sequence[str], questions: int) -> Exercise:
    """Draw one report with questions about names, noise by lead, or whether it is normal."""
    kind = rng.random()
    if kind < _NOISY:
        return _noisy(rng, names, questions)
    if kind < _NOISY + _WHOLE:
        return _whole(rng, questions)
    return _alone(rng, names, questions, _LONGEST)


def _alone(
    rng: np.random.Generator,
    names: Sequence[str],
    questions: int,
    longest: int,
    lists: float = _LISTS,
    doubts: float = DOUBT,
) -> Exercise:
    """Draw a report with questions about single findings; a share of them asks for lists."""
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
    return Exercise((report_of(held, doubt),), turns)


def _noisy(rng: np.random.Generator, names: Sequence[str], questions: int) -> Exercise:
    """Draw a report with noise in some leads; the questions ask which lead has which noise."""
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
    return Exercise((". ".join(said[i] for i in rng.permutation(len(said))),), turns)


def _whole(rng: np.random.Generator, questions: int) -> Exercise:
    """Draw a report of a normal or an abnormal ECG; the questions ask which it is."""
    labels = [
        name for name in load_findings()["name"] if name not in (name_of("NORM"), name_of("SR"))
    ]
    beside = [name_of("SR"), *answers_in("axis", "noise")]
    said = [beside[i] for i in rng.permutation(len(beside))[: rng.integers(4)]]
    truth = pick(rng, ("normal", "abnormal"))
    said += (
        [name_of("NORM")]
        if truth == "normal"
        else [labels[i] for i in rng.permutation(len(labels))[: 1 + rng.integers(5)]]
    )
    said = [said[i] for i in rng.permutation(len(said))]
    doubt = {name: name in labels and rng.random() < DOUBT for name in said}
    asked = [
        (word, YES if kind == truth else NO)
        for kind, words in load_paraphrases().whole.items()
        for word in words
    ]
    turns = [
        (f"{word}?", answer)
        for word, answer in (asked[i] for i in rng.permutation(len(asked))[:questions])
    ]
    return Exercise((report_of(said, doubt),), turns)


@cache
def _topics_of(name: str) -> tuple[str, ...]:
    return tuple(topic for topic, of in topics().items() if name in of.names)


def _topic(
    rng: np.random.Generator, held: Sequence[str], doubt: Mapping[str, bool]
) -> tuple[str, str]:
    """Ask for the findings of a topic, mostly one that applies; return question and answer."""
    of_one = _topics_of(pick(rng, held)) if rng.random() < 0.8 else ()
    topic = pick(rng, of_one or list(topics()))  # a name that is never an answer has no topic
    certain = topics()[topic].certain
    return f"{topic}?", list_answer([name for name in held if not (certain and doubt[name])], topic)


def _looked_up_in_two(
    rng: np.random.Generator, names: Sequence[str], questions: int, most: int, words: int | None
) -> Exercise:
    """Draw two reports with questions about where a finding is and how it changed.

    Questions about a change use the first `words` synonyms of its relation, or all if None.
    """
    reports, where = two_reports(rng, names, most)
    place = dict(zip(("old", "new"), pick(rng, PLACES), strict=True))
    senses = {relation: said[:words] for relation, said in load_paraphrases().senses.items()}
    turns: list[tuple[str, str]] = []
    for _ in range(questions):
        kind = rng.random()
        finding, held = pick_finding(rng, where)
        relation, named = list_changed(rng, where)
        asked = f"finding {pick(rng, senses[relation])}?".format(**place), named
        if rng.random() < _LISTS and asked not in turns:
            turns.append(asked)
        elif kind < 0.45:
            turns.append((f"{finding} where?", WHERE[held]))
        elif kind < 0.6:
            k = rng.integers(2)
            turns.append((f"{finding} in {place[('old', 'new')[k]]}?", YES if held[k] else NO))
        else:
            question, answer = change_question(rng, finding, held, senses)
            turns.append((question.format(**place), answer))
    return Exercise(reports, turns)

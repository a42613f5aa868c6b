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
# Steps of the course, by the share at which they end: names in short reports without doubts, all
# questions about one report, two reports with one finding per relation, two reports with a few.
SHORT, ALONE, FEW, SEVERAL = 0.08, 0.2, 0.3, 0.65
_FIRST, _LONGEST = 3, 8  # findings in a single report at most, at first and later
_LISTS = 0.35  # share of questions that ask for a list
_NOISY, _WHOLE = 0.25, 0.25  # shares of later single reports: noise by lead; normal or not


def lookup_tasks(n: int, seed: int, questions: int = 8, start: float = 0.0) -> list[Exercise]:
    """Draw `n` exercises with short questions, such as "atrial fibrillation gone?", as a course.

    A model this small learns to look a name up soonest in steps, and for long learns nothing where
    all is asked from the beginning. The first step is whether a name is in a short report. Then
    come longer reports, lists, leads, and whether all is normal; then in which of two reports a
    name is; and last, other words for "gone". A few questions about many texts teach sooner than
    many about few. Answers are balanced, except lists.

    Parameters
    ----------
    start : share of the course that is left out at its beginning
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
    """One report, and questions about names, noise by lead, or whether all is normal."""
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
    """A report, and questions whether it holds a finding; a share of them asks for lists."""
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
    """A report with noise in some leads, and questions whether a lead has a kind, or any."""
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
    """A report that calls the ECG normal or names what is wrong, and questions which it is."""
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
    """Ask for the findings of a topic, which is mostly not empty; question and answer."""
    of_one = _topics_of(pick(rng, held)) if rng.random() < 0.8 else ()
    topic = pick(rng, of_one or list(topics()))  # what is no answer has no topic
    certain = topics()[topic].certain
    return f"{topic}?", list_answer([name for name in held if not (certain and doubt[name])], topic)


def _looked_up_in_two(
    rng: np.random.Generator, names: Sequence[str], questions: int, most: int, words: int | None
) -> Exercise:
    """Two reports, and questions about where a finding is and what became of it.

    What became of it is asked in the first `words` synonyms of a relation; None: in all of them.
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

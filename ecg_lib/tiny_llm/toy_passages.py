"""Toy passages: two lists of everyday things, and questions about what is new, gone or kept.

LLaMA knows what "gained" or "as well as" means from everything it has read. The tiny language model
that stands in for it learns these words here, from bread and rain, before it compares ECGs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import yaml

from ecg_lib.errors import DataError
from ecg_lib.questions.vocabulary import NO, NONE, YES, answer_text
from ecg_lib.tiny_llm.pick import pick

TRUE_OF = {  # relation -> (in the first list, in the second list)
    "gone": (True, False),
    "new": (False, True),
    "kept": (True, True),
    "absent": (False, False),
}
_LONGEST = 6  # most things per list


@dataclass(frozen=True)
class Passage:
    """A text about two lists, and questions about it with their answers."""

    text: str
    turns: list[tuple[str, str]]


@lru_cache(maxsize=1)
def load_toy_sentences() -> dict:
    """Load and check the things, list names, frames and sentences of `toy_passages.yaml`.

    Raises
    ------
    DataError
        A relation is missing or unknown, or a sentence lacks a placeholder.
    """
    content = yaml.safe_load(
        (Path(__file__).parent / "texts" / "toy_passages.yaml").read_text(encoding="utf-8")
    )
    if set(content["compare"]) != set(TRUE_OF) or not set(content["name"]) <= set(TRUE_OF):
        raise DataError(
            f"toy_passages.yaml: compare must list exactly {', '.join(TRUE_OF)}, and name "
            "may list only these"
        )
    for relation, sentences in content["compare"].items():
        for sentence in sentences:
            if "{x}" not in sentence or not ("{a}" in sentence or "{b}" in sentence):
                raise DataError(
                    f"toy_passages.yaml: {relation}: {sentence!r} needs {{x}}, and {{a}} or {{b}}"
                )
    return content


def toy_passages(n: int, seed: int, questions: int = 6) -> list[Passage]:
    """Draw `n` passages with `questions` questions each; on average half of the answers are yes.

    Half of the comparisons ask about the true relation, the rest about one of the other three.
    """
    rng, table = np.random.default_rng(seed), load_toy_sentences()
    return [_passage(rng, table, questions) for _ in range(n)]


def _passage(rng: np.random.Generator, table: dict, questions: int) -> Passage:
    things = rng.permutation(table["things"])
    cut = np.cumsum(1 + rng.integers(3, size=4))
    groups = dict(zip(TRUE_OF, np.split(things[: cut[-1]], cut[:-1]), strict=True))
    lists = [
        rng.permutation(
            [x for name, (one, two) in TRUE_OF.items() for x in groups[name] if (one, two)[k]]
        )[:_LONGEST]
        for k in (0, 1)
    ]
    place = dict(zip("ab", pick(rng, table["pairs"]), strict=True))
    turns = [_turn(rng, table, lists, things[: cut[-1]], place) for _ in range(questions)]
    first, second = (", ".join(items) for items in lists)
    return Passage(pick(rng, table["frames"]).format(first=first, second=second), turns)


def _turn(
    rng: np.random.Generator, table: dict, lists: list, asked: np.ndarray, place: dict[str, str]
) -> tuple[str, str]:
    inside = {x: (x in lists[0], x in lists[1]) for x in asked.tolist()}
    kind = rng.random()
    if kind < 0.15:
        relation = pick(rng, list(table["name"]))
        named = [x for x in inside if inside[x] == TRUE_OF[relation]]
        text = pick(rng, table["name"][relation]).format(**place)
        return text, answer_text(named or [NONE])
    x = pick(rng, list(inside))
    if kind < 0.3:
        which = "ab"[rng.integers(2)]
        text = pick(rng, table["one"]).format(b=place[which], x=x)
        return text, YES if inside[x]["ab".index(which)] else NO
    truth = next(name for name, where in TRUE_OF.items() if where == inside[x])
    others = [name for name in TRUE_OF if name != truth]
    relation = truth if rng.random() < 0.5 else pick(rng, others)
    text = pick(rng, table["compare"][relation]).format(x=x, **place)
    return text, YES if relation == truth else NO

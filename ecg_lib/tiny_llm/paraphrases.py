"""Paraphrased questions for pretraining the tiny LLM, which has not read as much as LLaMA.

`paraphrases.yaml` holds sentences with alternatives, `[a|b]`. One variant is drawn per question, so
that the model does not depend on seven wordings. Questions about ECGs never use these sentences.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
import yaml

from ecg_lib.errors import DataError
from ecg_lib.questions.templates import Question, load_templates, placeholders
from ecg_lib.tiny_llm.pick import pick

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_PLACED = {"where": {"finding", "old", "new"}, "one": {"finding", "old"}}


@dataclass(frozen=True)
class Paraphrases:
    """Sentences by wording (`ask`), about where a finding is (`where`), about one ECG (`one`).

    `senses` holds short synonyms of each relation, `whole` those of a normal and an abnormal ECG.
    """

    ask: dict[str, tuple[str, ...]]
    where: tuple[str, ...]
    one: tuple[str, ...]
    senses: dict[str, tuple[str, ...]]
    whole: dict[str, tuple[str, ...]]


def one_variant(sentence: str, rng: np.random.Generator) -> str:
    """Draw one of the variants of a sentence with alternatives."""
    return _CHOICE.sub(lambda m: (o := m.group(1).split("|"))[rng.integers(len(o))], sentence)


def all_variants(sentence: str) -> list[str]:
    """List all variants of a sentence with alternatives."""
    parts = _CHOICE.split(sentence)  # text, alternatives, text, ...
    options = [part.split("|") if i % 2 else [part] for i, part in enumerate(parts)]
    return ["".join(chosen) for chosen in product(*options)]


@lru_cache(maxsize=1)
def load_paraphrases() -> Paraphrases:
    """Load and check `paraphrases.yaml`.

    Raises
    ------
    DataError
        templates.yaml lacks a wording, or a sentence does not have exactly the placeholders that it
        needs.
    """
    path = Path(__file__).parent / "texts" / "paraphrases.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    needed = {
        t.wording: placeholders(t.wordings.sentence) | set(t.fill)
        for t in load_templates().values()
    }
    unknown = set(content["ask"]) - set(needed)
    if unknown:
        raise DataError(
            f"{path.name}: templates.yaml has no wording {min(unknown)!r}; rename or remove it"
        )
    parts = content["ask"] | {name: content[name] for name in _PLACED}
    for name, sentence in ((name, s) for name, part in parts.items() for s in part):
        wants = _PLACED.get(name) or needed[name] & placeholders(sentence)
        for text in all_variants(sentence):
            if placeholders(text) != wants:
                raise DataError(
                    f"{path.name}: {name}: {text!r} must have exactly the placeholders "
                    f"{', '.join(sorted(wants))} in every variant"
                )
    return Paraphrases(
        {name: tuple(part) for name, part in content["ask"].items()},
        tuple(content["where"]),
        tuple(content["one"]),
        *(
            {name: tuple(part) for name, part in content[kind].items()}
            for kind in ("senses", "whole")
        ),
    )


def paraphrase(question: Question, rng: np.random.Generator) -> str | None:
    """Return a question in other words, or None if its wording has no paraphrases."""
    ways = load_paraphrases().ask.get(question.template.wording)
    if ways is None:
        return None
    values = question.values | {
        key: text.format(**question.values) for key, text in question.template.fill.items()
    }
    if "a" in values and rng.random() < 0.5:
        values = values | {"a": values["b"], "b": values["a"]}
    return begin_sentence(one_variant(pick(rng, ways), rng).format(**values))


def begin_sentence(text: str) -> str:
    """Capitalise a leading "the"; a leading finding keeps the spelling of the reports."""
    return "T" + text[1:] if text.startswith("the ") else text

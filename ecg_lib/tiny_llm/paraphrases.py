"""Ways of asking for the tiny LLM's reading practice, in place of all that LLaMA has read.

`practice.yaml` holds sentences with alternatives, `[a|b]`; one is drawn for every question, so that
practice does not hang on seven wordings. Questions about ECGs are never asked in these words.
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

_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_PLACED = {"where": {"finding", "old", "new"}, "one": {"finding", "old"}}


@dataclass(frozen=True)
class Ways:
    """Sentences by wording (`ask`), of where a finding is (`where`), of one ECG of two (`one`)."""

    ask: dict[str, tuple[str, ...]]
    where: tuple[str, ...]
    one: tuple[str, ...]
    senses: dict[str, tuple[str, ...]]
    whole: dict[str, tuple[str, ...]]


def drawn(sentence: str, rng: np.random.Generator) -> str:
    """One of the sentences that a sentence with alternatives stands for."""
    return _CHOICE.sub(lambda m: (o := m.group(1).split("|"))[rng.integers(len(o))], sentence)


def every(sentence: str) -> list[str]:
    """All sentences that a sentence with alternatives stands for."""
    parts = _CHOICE.split(sentence)  # text, alternatives, text, ...
    options = [part.split("|") if i % 2 else [part] for i, part in enumerate(parts)]
    return ["".join(chosen) for chosen in product(*options)]


@lru_cache(maxsize=1)
def load_practice() -> Ways:
    """The sentences, checked.

    Raises
    ------
    DataError
        A wording is unknown to templates.yaml, or a sentence has other placeholders than it needs.
    """
    path = Path(__file__).parent / "texts" / "paraphrases.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    needed = {
        t.wording: placeholders(t.wordings.sentence) | set(t.fill)
        for t in load_templates().values()
    }
    unknown = set(content["ask"]) - set(needed)
    if unknown:
        raise DataError(f"{path.name}: templates.yaml has no wording {min(unknown)!r}")
    parts = content["ask"] | {name: content[name] for name in _PLACED}
    for name, sentence in ((name, s) for name, part in parts.items() for s in part):
        wants = _PLACED.get(name) or needed[name] & placeholders(sentence)
        for text in every(sentence):
            if placeholders(text) != wants:
                raise DataError(
                    f"{path.name}: {name}: {text!r} needs exactly the placeholders "
                    f"{', '.join(sorted(wants))}, whatever is chosen"
                )
    return Ways(
        {name: tuple(part) for name, part in content["ask"].items()},
        tuple(content["where"]),
        tuple(content["one"]),
        *(
            {name: tuple(part) for name, part in content[kind].items()}
            for kind in ("senses", "whole")
        ),
    )


def asked_anew(question: Question, rng: np.random.Generator) -> str | None:
    """A question in words of practice; None where there are none for its wording."""
    ways = load_practice().ask.get(question.template.wording)
    if ways is None:
        return None
    values = question.values | {
        key: text.format(**question.values) for key, text in question.template.fill.items()
    }
    if "a" in values and rng.random() < 0.5:
        values = values | {"a": values["b"], "b": values["a"]}
    return begun(drawn(ways[rng.integers(len(ways))], rng).format(**values))


def begun(text: str) -> str:
    """A sentence that begins with "the" gets its capital; a finding is written as reports do."""
    return "T" + text[1:] if text.startswith("the ") else text

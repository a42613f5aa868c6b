"""Questions and answers with which the tiny LLM practises the dialogue of Figure 4."""

from __future__ import annotations

import numpy as np

from ecg_lib.knowledge.advice import YOUNGEST, advised, explained, load_advice, meaning, worded
from ecg_lib.knowledge.glossary import load_glossary
from ecg_lib.tiny_llm.pick import pick

_OLDEST = 95  # years: older patients are rare


def dialogue_turns(n: int, seed: int) -> list[tuple[str, str]]:
    """Draw `n` questions with answers: two thirds ask for a meaning, one third for advice."""
    rng, terms = np.random.default_rng(seed), list(load_glossary())
    said = []
    for k in range(n):
        term = pick(rng, terms)
        if k % 3:
            said.append((meaning(term), explained(term)))
            continue
        age, sex, person = _anyone(rng)
        asked = worded(pick(rng, load_advice().asked), term, age, person)
        said.append((asked, advised(term, age, sex)))
    return said


def age_turns(n: int, seed: int) -> list[tuple[str, str]]:
    """Draw `n` short questions about age and sex, such as "58 year old woman?".

    The answer is the age group that the advice depends on, such as "A woman of 50 to 64". In a
    whole answer these words are few, so a small model overlooks the age.
    """
    rng, known, said = np.random.default_rng(seed), load_advice(), []
    for _ in range(n):
        age, sex, person = _anyone(rng)
        said.append((f"{age} year old {person}?", known.entry(age, sex).span))
    return said


def _anyone(rng: np.random.Generator) -> tuple[int, str, str]:
    """Draw an age, a sex and a word for such a person, each uniformly."""
    age, sex = int(rng.integers(YOUNGEST, _OLDEST + 1)), pick(rng, ("F", "M"))
    return age, sex, pick(rng, load_advice().people[sex])

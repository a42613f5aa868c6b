"""Read a model's reply: the answer in it, or why there is none.

A language model may answer a yes/no question in a sentence. Its reply is a yes or a no if it
begins with that word, or if only one of the two words occurs in it. The answer to any other
question must be exactly right, by the headline rule of `ecg_lib.evaluation.exact_match`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ecg_lib.questions.vocabulary import NO, YES, normalise

READ, SENTENCE, REFUSED, UNREADABLE, FAILED, MISSING = STATES = (
    "read",
    "read from a sentence",
    "refused",
    "unreadable",
    "failed",
    "missing",
)
UNSURE = "not sure"
_WORD = re.compile(r"\b(yes|no)\b")
_REFUSAL = re.compile(
    r"\b(cannot|can't|can not|unable|not able|as an ai|won't|will not|decline|consult|sorry)\b"
)
_UNSURE = re.compile(r"\b(not sure|unsure|uncertain|undetermined|inconclusive)\b")


@dataclass(frozen=True)
class Reply:
    """What a model returns for one question.

    Parameters
    ----------
    text : str
        The answer.
    p_yes : float, optional
        P(yes) / (P(yes) + P(no)), for yes/no questions.
    """

    text: str
    p_yes: float | None = None


def read_yes_no(text: str) -> tuple[str, str]:
    """Read the reply to a yes/no question.

    Returns
    -------
    answer : str
        "yes", "no", "not sure", or "" if there is no answer in the reply.
    state : str
        One of `STATES`.
    """
    plain = normalise(text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    plain = plain.strip("*_`\"' .")
    if plain in (YES, NO, UNSURE):
        return plain, READ
    words = _WORD.findall(plain)
    if words and plain.startswith(words[0]):
        return words[0], SENTENCE
    if _UNSURE.search(plain):
        return UNSURE, SENTENCE
    if _REFUSAL.search(plain):
        return "", REFUSED
    if len(set(words)) == 1:
        return words[0], SENTENCE
    return "", UNREADABLE


def read_open(text: str) -> tuple[str, str]:
    """Read the reply to a question that is not answered by yes or no: the text itself."""
    plain = normalise(text)
    if not plain:
        return "", UNREADABLE
    return text.strip(), REFUSED if _REFUSAL.search(plain) else READ

"""Mark an answer of the dialogue line by line: right, wrong, repeated or missing."""

from __future__ import annotations

import re
from typing import NamedTuple

from ecg_lib.knowledge.glossary import by_urgency, load_glossary
from ecg_lib.questions.vocabulary import (
    JOINER,
    NONE,
    canonical_order,
    in_vocabulary,
    normalise,
    parse_answer,
)

RIGHT, WRONG, REPEATED, MISSING = "right", "wrong", "repeated", "missing"
UNKNOWN = "not marked"
CANNOT_SAY = "the labels cannot say"  # the truth of a question that the labels do not answer
NO_ANSWER = "(no answer)"
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class Line(NamedTuple):
    """A finding or a sentence with its verdict, such as `RIGHT`."""

    text: str
    verdict: str

    def __str__(self) -> str:
        return f"{self.verdict}: {self.text}"


def marked(said: str, truth: str) -> list[Line]:
    """Mark every line that was said, in order, then list the lines that are missing.

    The lines of an answer to an ECG-QA question are findings; those of an explanation are
    sentences. A wrong or missing finding carries its urgency if a doctor is needed the same day.

    Parameters
    ----------
    said, truth : str
        The model's answer and the true one; `CANNOT_SAY` as truth leaves the answer unmarked.

    Returns
    -------
    list of Line
    """
    if truth == CANNOT_SAY:
        return [Line(said.strip() or NO_ANSWER, UNKNOWN)]
    findings = in_vocabulary(parse_answer(truth, strict=True))
    split = _findings if findings else _sentences
    told, wanted = split(said), split(truth)
    known, seen, lines = {normalise(line) for line in wanted}, set(), []
    for line in told:
        key = normalise(line)
        verdict = REPEATED if key in seen else RIGHT if key in known else WRONG
        lines.append(Line(line, verdict))
        seen.add(key)
    missing = [line for line in wanted if normalise(line) not in seen | {NONE}]
    if findings:
        missing = by_urgency([m for m in missing if m in load_glossary()]) + [
            m for m in missing if m not in load_glossary()
        ]
    lines += [Line(line, MISSING) for line in missing]
    return [_with_urgency(line) for line in lines] or [Line(NO_ANSWER, WRONG)]


def _findings(text: str) -> list[str]:
    """Split a text at ";" into labels; a member with other words in it stays as it is."""
    members = filter(None, (member.strip() for member in text.split(JOINER.strip())))
    return [
        label for member in members for label in canonical_order(parse_answer(member, strict=True))
    ]


def _sentences(text: str) -> list[str]:
    return [sentence for sentence in _SENTENCE_END.split(text.strip()) if sentence]


def _with_urgency(line: Line) -> Line:
    entry = load_glossary().get(normalise(line.text))
    if entry is None or not entry.urgent or line.verdict not in (WRONG, MISSING):
        return line
    return line._replace(text=f"{line.text} ({entry.urgency})")

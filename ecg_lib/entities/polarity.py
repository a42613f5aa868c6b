"""Whether a report asserts, doubts or denies what it mentions.

The rules follow NegEx (Chapman et al., J Biomed Inform 2001, 34:301): words before and after a
finding deny or doubt it, up to the end of the sentence or a word such as "but". The words are in
`polarity_words.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ecg_lib.entities.mention import ASSERTED, DENIED, DOUBTED
from ecg_lib.errors import DataError

WORDS = "polarity_words.yaml"
MASK = "#"  # stands for each letter of a finding that was read
_SIDES = ("before", "after")
_LISTS = ("neither", "breaks", "joins", "end_of_report")
_SENTENCE = re.compile(r"[.;!](?=\s|$)|\n")
_GAP = r"[\s-]+"  # between two words of a phrase


@dataclass(frozen=True)
class _Cue:
    polarity: str  # "" for a phrase that only looks like a cue
    before: bool
    after: bool


class PolarityRules:
    """The rules of a table such as `polarity_words.yaml`.

    Parameters
    ----------
    table : mapping
        The table's fields.
    where : str
        Its name, for error messages.

    Raises
    ------
    DataError
        A field is missing, unknown or not a list of phrases, or a phrase both denies and doubts.
    """

    def __init__(self, table: Any, where: str = WORDS):
        _validate(table, where)
        cues: dict[str, _Cue] = {}
        for polarity, field in ((DENIED, "denial"), (DOUBTED, "doubt")):
            for side in _SIDES:
                for phrase in table[field][side]:
                    old = cues.get(phrase, _Cue(polarity, False, False))
                    if old.polarity != polarity:
                        raise DataError(f"{where}: {phrase!r} both denies and doubts; keep one")
                    before, after = old.before or side == "before", old.after or side == "after"
                    cues[phrase] = _Cue(polarity, before, after)
        for phrase, cue in cues.items():  # "suspected" is also one of "suspect*"
            forms = [
                own
                for form, own in cues.items()
                if "*" in form
                and own.polarity == cue.polarity
                and re.fullmatch(phrase_pattern(form), phrase)
            ]
            before, after = (any(getattr(own, side) for own in (cue, *forms)) for side in _SIDES)
            cues[phrase] = _Cue(cue.polarity, before, after)
        cues |= {phrase: _Cue("", True, True) for phrase in table["neither"]}
        self._cues = [cues[phrase] for phrase in _longest(cues)]
        self._pattern = re.compile("|".join(f"({phrase_pattern(p)})" for p in _longest(cues)))
        self._break = re.compile(_any(table["breaks"]))
        joins = _any(table["joins"])
        self._goes_on = re.compile(joins)
        self._joined = re.compile(
            rf"\s*(?:,\s*)?(?:{joins})(?:\s+\w+){{0,3}}\s*|\s*,(?:\s+\w+){{0,3}}\s*"
        )
        self._reach = table["reach"]
        self.end = re.compile(_any(table["end_of_report"]))

    def sentences(self, text: str) -> list[tuple[int, int]]:
        """Return where the sentences of a text begin and end."""
        ends = [found.span() for found in _SENTENCE.finditer(text)]
        starts = [0, *(end for _, end in ends)]
        return list(zip(starts, [*(start for start, _ in ends), len(text)], strict=True))

    def of(self, sentence: str, start: int, end: int) -> str:
        """Return the polarity of a finding at `start` to `end` of a sentence.

        Parameters
        ----------
        sentence : str
            In lower case, with every finding that was read masked by `MASK`.
        """
        said = {self._before(sentence[:start], sentence[end:]), self._after(sentence[end:])}
        return DENIED if DENIED in said else DOUBTED if DOUBTED in said else ASSERTED

    def is_cue(self, words: str) -> bool:
        """Return whether words as a whole deny, doubt or only look so."""
        return bool(self._pattern.fullmatch(words))

    def _before(self, text: str, rest: str) -> str:
        breaks = self._breaks(text)
        text = text[breaks[-1][1] :] if breaks else text
        listed = bool(self._goes_on.search(self._up_to_break(rest)))
        while True:
            at = text.rfind(MASK) + 1
            between = text[at:]
            comma = between.rfind(",")
            goes_on = listed or bool(self._goes_on.search(between))
            near = between if goes_on or comma < 0 else between[comma + 1 :]
            cues = [cue for cue, _, gap in self._found(near, "before") if gap <= self._reach]
            if cues:
                return cues[-1].polarity
            if not at or not self._joined.fullmatch(between) or (comma >= 0 and not goes_on):
                return ""
            listed = goes_on
            text = text[:at].rstrip(MASK)

    def _after(self, text: str) -> str:
        text = self._up_to_break(text)
        while True:
            between, mask, rest = text.partition(MASK)
            near = between.split(",")[0]
            for cue, end, gap in self._found(near, "after"):
                meant = not (cue.before and mask and len(near[end:].split()) <= 2)
                if meant and gap <= self._reach:
                    return cue.polarity
            goes_on = "," not in between or self._goes_on.search(text)
            if not mask or not goes_on or not self._joined.fullmatch(between):
                return ""
            text = rest.lstrip(MASK)

    def _up_to_break(self, text: str) -> str:
        breaks = self._breaks(text)
        return text[: breaks[0][0]] if breaks else text

    def _breaks(self, text: str) -> list[tuple[int, int]]:
        """Return where scopes end in a text; "consistent with" holds no such word."""
        cues = [found.span() for found in self._pattern.finditer(text)]
        spans = [found.span() for found in self._break.finditer(text)]
        return [(a, b) for a, b in spans if not any(c <= a and b <= d for c, d in cues)]

    def _found(self, text: str, side: str) -> list[tuple[_Cue, int, int]]:
        """Return cues of a side with their end and the number of words to the finding."""
        cues = []
        for found in self._pattern.finditer(text):
            cue = self._cues[(found.lastindex or 1) - 1]
            if cue.polarity and getattr(cue, side):
                gap = text[found.end() :] if side == "before" else text[: found.start()]
                cues.append((cue, found.end(), len(gap.split())))
        return cues


@cache
def polarity_rules() -> PolarityRules:
    """Read the rules of `polarity_words.yaml`."""
    text = (Path(__file__).parent / WORDS).read_text(encoding="utf-8")
    return PolarityRules(yaml.safe_load(text))


def phrase_pattern(phrase: str) -> str:
    """Return a pattern for a phrase: whole words, any blanks or hyphens between them."""
    words = [re.escape(word).replace(r"\*", r"\w*") for word in re.split(_GAP, phrase)]
    left = r"(?<!\w)" if phrase[0].isalnum() else ""
    right = r"(?!\w)" if phrase[-1].isalnum() or phrase[-1] == "*" else ""
    return left + _GAP.join(words) + right


def _any(phrases: Sequence[str]) -> str:
    return "|".join(phrase_pattern(phrase) for phrase in _longest(phrases))


def _longest(phrases) -> list[str]:
    return sorted(phrases, key=lambda phrase: (-len(phrase), phrase))


def _validate(table: Any, where: str) -> None:
    fields = {"denial", "doubt", "reach", *_LISTS}
    if not isinstance(table, dict) or set(table) != fields:
        raise DataError(f"{where}: the fields must be {', '.join(sorted(fields))}")
    lists = {name: table[name] for name in _LISTS}
    for field in ("denial", "doubt"):
        if not isinstance(table[field], dict) or set(table[field]) != set(_SIDES):
            raise DataError(f"{where}: {field} must have the fields before and after")
        lists |= {f"{field}.{side}": table[field][side] for side in _SIDES}
    for name, phrases in lists.items():
        if not isinstance(phrases, list) or not phrases:
            raise DataError(f"{where}: {name} must be a list of phrases")
        for phrase in phrases:
            if not isinstance(phrase, str) or phrase != phrase.lower().strip() or not phrase:
                raise DataError(f"{where}: {name}: {phrase!r} must be a phrase in lower case")
    if not isinstance(table["reach"], int) or table["reach"] < 0:
        raise DataError(f"{where}: reach is {table['reach']!r}; give a number of words")

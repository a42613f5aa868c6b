"""Find entities in reports by their wordings, in English and in the German of PTB-XL.

The wordings are those of findings.csv, label_maps.csv and `wordings.yaml`. German and Swedish words
are first turned into English with report_words.csv; a mention's span is nevertheless that in the
report.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

from ecg_lib.data.report_text import phrases
from ecg_lib.entities.mention import ASSERTED, Mention
from ecg_lib.entities.polarity import MASK, PolarityRules, phrase_pattern, polarity_rules
from ecg_lib.errors import DataError
from ecg_lib.knowledge.findings import FINDINGS, name_of
from ecg_lib.knowledge.label_maps import label_map

WORDINGS = "wordings.yaml"
_PHRASES = ("mimic_iv_ecg", "report_de")  # rows of label_maps.csv that are phrases of reports
_SENTENCES = 20_000  # distinct ones whose reading is kept
_BLANKS = re.compile(r"[\s-]+")


@dataclass(frozen=True)
class Words:
    """Wordings of entities, and the superclasses among them.

    Attributes
    ----------
    wordings : mapping of str to tuple of str
        Wording -> names of the entities that it means; none if it only bars shorter ones.
    superclasses : mapping of str to tuple of str
        Superclass -> names of its members.
    """

    wordings: Mapping[str, tuple[str, ...]]
    superclasses: Mapping[str, tuple[str, ...]]


class Lexicon:
    """A miner that knows wordings and rules of polarity.

    Parameters
    ----------
    wordings : mapping of str to sequence of str
        Wording -> names of the entities that it means.
    rules : PolarityRules, optional
        None takes every mention as asserted (an ablation).
    """

    def __init__(self, wordings: Mapping[str, Sequence[str]], rules: PolarityRules | None):
        both = [(w, n) for own, n in wordings.items() for w in (in_english(own)[0], own)]
        self._names = {_plain(wording): tuple(names) for wording, names in both}
        self._rules = rules
        longest = sorted(self._names, key=lambda wording: (-len(wording), wording))
        parts = (rf"{phrase_pattern(w)[:-len(_END)]}{_PLURAL}{_END}" if w[-1].isalpha()
                 else phrase_pattern(w) for w in longest)  # fmt: skip
        self._pattern = re.compile("|".join(parts))
        self._said = lru_cache(_SENTENCES)(self._read_sentence)  # carts repeat their sentences

    def mine(self, reports: Sequence[str]) -> list[list[Mention]]:
        """Return the mentions in each report, in the order of the text."""
        found: dict[str, list[Mention]] = {}
        for report in reports:
            if report not in found:
                found[report] = self.read(report)
        return [found[report] for report in reports]

    def read(self, report: str) -> list[Mention]:
        """Return the mentions in one report."""
        text, starts, ends = in_english(report)
        if self._rules and (behind := self._rules.end.search(text)):
            text = text[: behind.start()]
        mentions = []
        for begin, end in self._rules.sentences(text) if self._rules else [(0, len(text))]:
            for first, last, names, polarity in self._said(text[begin:end]):
                span = starts[begin + first], ends[begin + last - 1]
                mentions += [Mention(n, report[slice(*span)], polarity, span) for n in names]
        return mentions

    def _read_sentence(self, sentence: str) -> list[tuple[int, int, tuple[str, ...], str]]:
        """Return where entities are mentioned, their names and what is said of them."""
        masked = self._pattern.sub(lambda match: MASK * len(match[0]), sentence)
        return [
            (
                *match.span(),
                self._meant(match[0]),
                self._rules.of(masked, *match.span()) if self._rules else ASSERTED,
            )
            for match in self._pattern.finditer(sentence)
        ]

    def _meant(self, words: str) -> tuple[str, ...]:
        plain = _plain(words)
        for ending in ("", "s", "es"):
            if plain.endswith(ending) and (known := plain.removesuffix(ending)) in self._names:
                return self._names[known]
        raise AssertionError(words)  # the pattern holds nothing else


_END, _PLURAL = r"(?!\w)", "(?:e?s)?"


def shipped_lexicon(rules: bool = True) -> Lexicon:
    """Return the miner that knows the tables of the library."""
    return Lexicon(shipped_words().wordings, polarity_rules() if rules else None)


@cache
def shipped_words() -> Words:
    """Read the wordings of the library's tables.

    Raises
    ------
    DataError
        A field of `wordings.yaml` is wrong; the message names it.
    """
    text = (Path(__file__).parent / WORDINGS).read_text(encoding="utf-8")
    return words_of(yaml.safe_load(text))


def words_of(table: Any, where: str = WORDINGS) -> Words:
    """Build wordings from a table such as `wordings.yaml`; its wordings replace those of others."""
    _validate(table, where)
    wordings: dict[str, tuple[str, ...]] = {name.lower(): (name,) for name in FINDINGS["name"]}
    for source in _PHRASES:
        for phrase, meanings in label_map(source).items():
            values = (value.partition(": ")[2] for _, value in meanings if value)
            codes = (name_of(code) for code, _ in meanings if code)
            wordings[phrase] = tuple(dict.fromkeys([*codes, *values]))
    own: dict[str, str] = {}
    for entity, phrases_ in table["entities"].items():
        for phrase in phrases_:
            if own.setdefault(phrase, entity) != entity:
                raise DataError(
                    f"{where}: {phrase!r} is given to {own[phrase]} and {entity}; keep one"
                )
    for family in table["walls"]:
        for wall, code in family["codes"].items():
            own |= {say.format(wall): code for say in family["say"]}
    wordings |= {phrase: (_name(entity),) for phrase, entity in own.items()}
    wordings |= dict.fromkeys(table["nothing"], ())
    supers: dict[str, tuple[str, ...]] = {}
    for superclass, rows in FINDINGS[FINDINGS["superclass"] != ""].groupby(
        "superclass", sort=False
    ):
        if len(rows) > 1:  # one member would be the same entity twice
            supers[str(superclass)] = tuple(rows["name"])
    for superclass, codes in table["superclasses"].items():
        supers[superclass] = tuple(_name(code) for code in codes)
    return Words(wordings, supers)


def in_english(report: str) -> tuple[str, list[int], list[int]]:
    """Turn the German and Swedish words of a report into English, in lower case.

    Words that deny or doubt are left, since English ones would stand at another place.

    Returns
    -------
    text : str
    starts, ends : lists of int
        Where in the report each character of `text` comes from.
    """
    lower = "".join(low if len(low := ch.lower()) == 1 else ch for ch in report)
    text: list[str] = []
    starts: list[int] = []
    ends: list[int] = []

    def copy(begin: int, end: int) -> None:
        text.append(lower[begin:end])
        starts.extend(range(begin, end))
        ends.extend(range(begin + 1, end + 1))

    at = 0
    table, pattern = _translated()
    for found in pattern.finditer(lower):
        copy(at, found.start())
        english = table[_plain(found[0])]
        text.append(english)
        starts.extend([found.start()] * len(english))
        ends.extend([found.end()] * len(english))
        at = found.end()
    copy(at, len(lower))
    return "".join(text), starts, ends


@cache
def _translated() -> tuple[dict[str, str], re.Pattern]:
    rules = polarity_rules()
    table = {_plain(w): english for w, english in phrases().items() if not rules.is_cue(w)}
    longest = sorted(table, key=lambda words: (-len(words), words))
    return table, re.compile("|".join(map(phrase_pattern, longest)))


def _plain(words: str) -> str:
    return _BLANKS.sub(" ", words)


def _name(entity: str) -> str:
    return name_of(entity) if entity in FINDINGS.index else entity


def _validate(table: Any, where: str) -> None:
    fields = {"entities": dict, "walls": list, "nothing": list, "superclasses": dict}
    if not isinstance(table, dict) or set(table) != set(fields):
        raise DataError(f"{where}: the fields must be {', '.join(fields)}")
    for field, kind in fields.items():
        if not isinstance(table[field], kind):
            raise DataError(f"{where}: {field} must be a {kind.__name__}")
    lists = {f"entities.{k}": v for k, v in table["entities"].items()}
    lists["nothing"] = table["nothing"]
    for number, family in enumerate(table["walls"]):
        here = f"walls.{number}"
        if not isinstance(family, dict) or set(family) != {"codes", "say"}:
            raise DataError(f"{where}: {here} must have the fields codes and say")
        lists[f"{here}.say"] = family["say"]
        _known(family["codes"].values(), f"{where}: {here}.codes")
        if any(say.count("{}") != 1 for say in family["say"]):
            raise DataError(f"{where}: {here}.say: each wording must hold {{}} once, for the wall")
    for name, wordings in lists.items():
        if not isinstance(wordings, list) or not wordings:
            raise DataError(f"{where}: {name} must be a list of wordings")
        for wording in wordings:
            if not isinstance(wording, str) or not wording or wording != wording.lower().strip():
                raise DataError(f"{where}: {name}: {wording!r} must be a wording in lower case")
    for superclass, codes in table["superclasses"].items():
        _known(codes, f"{where}: superclasses.{superclass}")


def _known(codes: Any, where: str) -> None:
    for code in codes:
        if code not in FINDINGS.index:
            raise DataError(f"{where}: code {code!r} is not in findings.csv; use one that is")

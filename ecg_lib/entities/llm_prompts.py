"""The prompts of the language-model miner, read from `prompts.yaml`."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ecg_lib.errors import DataError

FILE = "prompts.yaml"
_FIELDS = {  # prompt -> what is filled in
    "extract": {"report"},
    "verify": {"report", "entity"},
    "merge": {"names"},
    "aggregate": {"names"},
}


@dataclass(frozen=True)
class Prompt:
    """One request to a language model."""

    name: str
    version: int
    say: str
    again: str
    max_tokens: int

    def filled(self, fields: Mapping[str, str]) -> str:
        """Return the request's text; braces in what is filled in stay as they are."""
        return self.say.format(**fields)


@dataclass(frozen=True)
class Prompts:
    """The four prompts and their version."""

    version: int
    names_per_call: int
    prompts: Mapping[str, Prompt]

    def __getitem__(self, name: str) -> Prompt:
        return self.prompts[name]


@cache
def shipped_prompts() -> Prompts:
    """Read `prompts.yaml`."""
    text = (Path(__file__).parent / FILE).read_text(encoding="utf-8")
    return prompts_of(yaml.safe_load(text))


def prompts_of(table: Any, where: str = FILE) -> Prompts:
    """Build prompts from a table.

    Raises
    ------
    DataError
        A field is missing or unknown, or a prompt does not hold what has to be filled in.
    """
    fields = {"version", "names_per_call", *_FIELDS}
    if not isinstance(table, dict) or set(table) != fields:
        raise DataError(f"{where}: the fields must be {', '.join(sorted(fields))}")
    for name in ("version", "names_per_call"):
        if type(table[name]) is not int or table[name] < 1:
            raise DataError(f"{where}: {name} is {table[name]!r}; give a whole number from 1")
    prompts = {}
    for name, wanted in _FIELDS.items():
        own = table[name]
        if not isinstance(own, dict) or set(own) != {"say", "again", "max_tokens"}:
            raise DataError(f"{where}: {name} must have the fields say, again and max_tokens")
        if _slots(str(own["say"]), f"{where}: {name}.say") != wanted:
            held = " and ".join(f"{{{field}}}" for field in sorted(wanted))
            raise DataError(f"{where}: {name}.say must hold {held} and no other braces")
        if type(own["max_tokens"]) is not int or own["max_tokens"] < 1:
            raise DataError(f"{where}: {name}.max_tokens must be a whole number from 1")
        said = str(own["say"]).strip()
        prompts[name] = Prompt(name, table["version"], said, str(own["again"]), own["max_tokens"])
    return Prompts(table["version"], table["names_per_call"], prompts)


def _slots(text: str, where: str) -> set[str]:
    try:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError as error:
        raise DataError(f"{where}: {error}; write a brace of the text twice") from None

"""Read the answers of a language model: a list, YES or NO, a JSON object. None if they are not."""

from __future__ import annotations

import json
import re
from typing import Any

from ecg_lib.entities.mention import named

_LONGEST = 120  # characters of a name; longer ones are sentences
_SPLIT = re.compile(r",(?![^(]*\))")  # a comma outside brackets
_YES_NO = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)


def read_list(answer: str) -> list[str] | None:
    """Return the distinct names in "[first, second]", also among other words."""
    begin, end = answer.find("["), answer.rfind("]")
    if begin < 0 or end < begin:
        return None
    inner = answer[begin : end + 1]
    if "[" in inner[1:] or "]" in inner[:-1]:
        return None
    try:
        parts = [part for part in json.loads(inner) if isinstance(part, str)]
    except (ValueError, RecursionError):
        parts = _SPLIT.split(inner[1:-1])
    names = [named(part) for part in parts]
    if any(len(name) > _LONGEST for name in names):
        return None
    return list(dict.fromkeys(name for name in names if name))


def read_yes_no(answer: str) -> bool | None:
    """Return whether an answer begins with yes or with no."""
    found = _YES_NO.match(answer)
    return found[1].lower() == "yes" if found else None


def read_renaming(answer: str) -> dict[str, str] | None:
    """Return a JSON object of names."""
    found = _object(answer)
    if found is None or not all(isinstance(value, str) for value in found.values()):
        return None
    pairs = ((named(key), named(value)) for key, value in found.items())
    return {key: value for key, value in pairs if key and value}


def read_groups(answer: str) -> dict[str, list[str]] | None:
    """Return a JSON object of lists of names."""
    found = _object(answer)
    if found is None or not all(isinstance(value, list) for value in found.values()):
        return None
    groups = {
        named(key): [named(name) for name in value if isinstance(name, str)]
        for key, value in found.items()
    }
    return {key: [name for name in names if name] for key, names in groups.items() if key}


def _object(answer: str) -> dict[str, Any] | None:
    begin, end = answer.find("{"), answer.rfind("}")
    try:
        found = json.loads(answer[begin : end + 1]) if 0 <= begin < end else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None

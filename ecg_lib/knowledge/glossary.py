"""The glossary: terms of a report in plain language (`glossary.yaml`)."""

from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import yaml

from ecg_lib.errors import DataError

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class GlossaryEntry:
    """A term in plain language: what it is, leads to, when to see a doctor, where to read on."""

    term: str
    what: str
    leads_to: str
    see_doctor: str
    source: str


@lru_cache(maxsize=1)
def load_glossary() -> dict[str, GlossaryEntry]:
    """Entries by term, in lower case.

    Raises
    ------
    DataError
        An entry lacks a field, has one too many, or its term occurs twice.
    """
    content = yaml.safe_load((_HERE / "glossary.yaml").read_text(encoding="utf-8"))
    needed = {f.name for f in fields(GlossaryEntry)}
    entries: dict[str, GlossaryEntry] = {}
    for entry in content["entries"]:
        term = entry.get("term", "(no term)")
        if set(entry) != needed or not all(isinstance(v, str) and v for v in entry.values()):
            raise DataError(
                f"glossary.yaml: entry {term!r} needs exactly {', '.join(sorted(needed))}"
            )
        if term in entries:
            raise DataError(f"glossary.yaml: {term!r} occurs twice")
        entries[term] = GlossaryEntry(**entry)
    return entries

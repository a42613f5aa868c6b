"""Read the glossary, which explains the terms of a report in plain language (`glossary.yaml`)."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from ecg_lib.errors import DataError
from ecg_lib.knowledge.findings import FINDINGS

URGENCIES = ("emergency", "same day", "soon", "planned", "none")  # most urgent first
URGENT = URGENCIES[:2]
_FILE = Path(__file__).parent / "glossary.yaml"
_NEEDED = {"term", "urgency", "what", "see_doctor", "source"}
_OPTIONAL = {"remark", "leads_to"}


@dataclass(frozen=True)
class GlossaryEntry:
    """A term in plain language: its meaning, urgency, when to see a doctor, and further reading.

    `remark` and `leads_to` (real consequences only) are empty if there is nothing to say.
    """

    term: str
    urgency: str
    what: str
    see_doctor: str
    source: str
    remark: str = ""
    leads_to: str = ""

    @property
    def urgent(self) -> bool:
        """Whether a doctor is needed today, so that no other advice is given."""
        return self.urgency in URGENT


@lru_cache(maxsize=1)
def load_glossary() -> dict[str, GlossaryEntry]:
    """Read the entries, keyed by term in lower case.

    Raises
    ------
    DataError
        An entry has a missing, unknown or empty field, a term that occurs twice, or an urgency that
        is not in `URGENCIES`; an urgent entry does not name the emergency call; or a finding that
        ECG-QA asks about has no entry.
    """
    content = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    entries: dict[str, GlossaryEntry] = {}
    for fields in content["entries"]:
        term = fields.get("term", "(no term)")
        where = f"{_FILE.name}: entry {term!r}"
        if missing := _NEEDED - set(fields):
            raise DataError(f"{where} needs {min(missing)}")
        if unknown := set(fields) - _NEEDED - _OPTIONAL:
            raise DataError(f"{where} has an unknown field {min(unknown)}; remove it")
        if empty := [name for name, v in fields.items() if not (isinstance(v, str) and v.strip())]:
            raise DataError(f"{where}: {empty[0]} must be text and not empty")
        if term in entries:
            raise DataError(f"{where} occurs twice; keep one")
        entry = GlossaryEntry(**{name: text.strip() for name, text in fields.items()})
        if entry.urgency not in URGENCIES:
            raise DataError(f"{where}: urgency must be one of {', '.join(URGENCIES)}")
        if entry.urgent and "emergency call" not in entry.see_doctor:
            raise DataError(f"{where}: see_doctor of an urgent term must name the emergency call")
        entries[term] = entry
    if without := [name for name in FINDINGS["name"][FINDINGS["ecgqa"]] if name not in entries]:
        raise DataError(f"{_FILE.name}: {without[0]!r} has no entry; every finding needs one")
    return entries


def by_urgency(terms: list[str]) -> list[str]:
    """Sort terms of the glossary by urgency, most urgent first; equal terms keep their order.

    Raises
    ------
    DataError
        A term has no entry.
    """
    glossary = load_glossary()
    if without := [term for term in terms if term not in glossary]:
        raise DataError(f"{_FILE.name}: {without[0]!r} has no entry; write one")
    return sorted(terms, key=lambda term: URGENCIES.index(glossary[term].urgency))

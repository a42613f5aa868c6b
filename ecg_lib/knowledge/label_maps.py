"""What each source's own codes mean in the vocabulary of `findings.csv` (`label_maps.csv`)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ecg_lib.errors import DataError
from ecg_lib.knowledge.findings import FINDINGS, read_table

_TABLES = ("findings.csv", "label_maps.csv")


@dataclass
class Translation:
    """What a source's own codes mean: labels, attributes, and the codes no finding stands for."""

    labels: dict[str, float] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    unmapped: list[str] = field(default_factory=list)

    def add(self, meanings: list[tuple[str, str]] | None, their_code: str, likelihood: float = 100):
        """Add one of the source's codes, given its rows (code, attribute) of label_maps.csv."""
        if not meanings or not any(code or attribute for code, attribute in meanings):
            self.unmapped.append(their_code)
            return
        for code, attribute in meanings:
            if code:
                self.labels[code] = max(likelihood, self.labels.get(code, 0))
            if attribute:
                name, _, value = attribute.partition(": ")
                self.attributes[name] = value


@cache
def label_map(source: str) -> Mapping[str, list[tuple[str, str]]]:
    """Rows of label_maps.csv for a source: their code (lower case) -> [(code, attribute)].

    A code with empty meanings is known and stands for no finding here.
    """
    table = read_table("label_maps.csv", ["source", "their_code", "code", "attribute", "reference"])
    unknown = set(table["code"]) - set(FINDINGS.index) - {""}
    if unknown:
        raise DataError(f"label_maps.csv: code {sorted(unknown)[0]!r} is not in findings.csv")
    rows = table[table["source"] == source]
    if rows.empty:
        raise DataError(f"label_maps.csv has no row of source {source!r}")
    meanings: dict[str, list[tuple[str, str]]] = {}
    for row in rows.itertuples():
        meanings.setdefault(row.their_code.lower(), []).append((row.code, row.attribute))
    return meanings


def translate(source: str, their_codes: Iterable[str]) -> Translation:
    """Labels and attributes for the codes one record has in its source's own language."""
    meanings = label_map(source)
    result = Translation()
    for their_code in their_codes:
        result.add(meanings.get(their_code.lower()), their_code)
    if result.unmapped:
        result.attributes["unmapped"] = result.unmapped
    return result


def maps_version() -> str:
    """Short hash of the tables: part of a mapped source's version, so that edits show."""
    text = b"".join(Path(__file__).with_name(name).read_bytes() for name in _TABLES)
    return hashlib.sha256(text).hexdigest()[:8]

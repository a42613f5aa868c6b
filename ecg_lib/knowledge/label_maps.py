"""Translate each source's own codes into those of `findings.csv`, with `label_maps.csv`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ecg_lib.errors import DataError
from ecg_lib.knowledge.findings import FINDINGS, read_table

_TABLES = ("findings.csv", "label_maps.csv", "value_limits.csv")


@dataclass
class Translation:
    """Meaning of a source's own codes.

    `unmapped` holds codes that match no finding, `unread` what no table knows at all.
    """

    labels: dict[str, float] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    unmapped: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def add(self, meanings: list[tuple[str, str]] | None, their_code: str, likelihood: float = 100):
        """Add one of the source's codes.

        Parameters
        ----------
        meanings : list of tuple or None
            The code's rows (code, attribute) in label_maps.csv; None if there are none.
        their_code : str
        likelihood : float, per cent
        """
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
    """Read the rows of label_maps.csv for a source.

    Returns
    -------
    mapping of str to list of tuple
        The source's code in lower case -> [(code, attribute)]. Both are empty if the code is known
        but matches no finding here.

    Raises
    ------
    DataError
        A code is not in findings.csv, or the table has no row for the source.
    """
    table = read_table("label_maps.csv", ["source", "their_code", "code", "attribute", "reference"])
    unknown = set(table["code"]) - set(FINDINGS.index) - {""}
    if unknown:
        raise DataError(
            f"label_maps.csv: code {sorted(unknown)[0]!r} is not in findings.csv; use one that is"
        )
    rows = table[table["source"] == source]
    if rows.empty:
        raise DataError(f"label_maps.csv has no row with source {source!r}; add its codes")
    meanings: dict[str, list[tuple[str, str]]] = {}
    for row in rows.itertuples():
        meanings.setdefault(row.their_code.lower(), []).append((row.code, row.attribute))
    return meanings


def translate(source: str, their_codes: Iterable[str]) -> Translation:
    """Translate the codes that a source gives one record into labels and attributes."""
    meanings = label_map(source)
    result = Translation()
    for their_code in their_codes:
        result.add(meanings.get(their_code.lower()), their_code)
        if their_code.lower() not in meanings:
            result.unread.append(their_code)
    if result.unmapped:
        result.attributes["unmapped"] = result.unmapped
    return result


def maps_version() -> str:
    """Return a short hash of the tables; it is part of a source's version, so that edits show."""
    text = b"".join(Path(__file__).with_name(name).read_bytes() for name in _TABLES)
    return hashlib.sha256(text).hexdigest()[:8]

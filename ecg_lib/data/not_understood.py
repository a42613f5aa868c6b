"""Count what was not understood in the records of a store, for its manifest and summary line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

_KINDS = {  # key of a record's attributes -> words in the summary
    "unmapped": "with codes that match no finding",
    "unread": "with entries that could not be read",
}
_LISTED = 20  # most frequent entries that the manifest lists


class NotUnderstood:
    """Tally of `attributes["unmapped"]` and `attributes["unread"]`, see `EcgRecord`."""

    def __init__(self) -> None:
        self.ecgs: Counter[str] = Counter()
        self.entries: dict[str, Counter[str]] = {kind: Counter() for kind in _KINDS}

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Count the rows of records.parquet."""
        for row in rows:
            if any(f'"{kind}"' in row["attributes"] for kind in _KINDS):
                known = json.loads(row["attributes"])
                for kind in _KINDS:
                    if entries := known.get(kind):
                        self.ecgs[kind] += 1
                        self.entries[kind].update(map(str, entries))

    def manifest(self) -> dict[str, Any]:
        """Return what the manifest says; nothing if all was understood."""
        told = {
            kind: {"ecgs": self.ecgs[kind], "most_frequent": dict(counts.most_common(_LISTED))}
            for kind, counts in self.entries.items()
            if counts
        }
        return {"not_understood": told} if told else {}


def told(manifest: Mapping[str, Any]) -> str:
    """Return the part of the summary line about what was not understood; "" if nothing was."""
    found = manifest.get("not_understood", {})
    return "".join(
        f"; {found[kind]['ecgs']:,} {words} ({next(iter(found[kind]['most_frequent']))})"
        for kind, words in _KINDS.items()
        if kind in found
    )

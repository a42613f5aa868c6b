"""A saved folder of entities: `entities.json`, and `labels.parquet` with the labels of reports.

labels.parquet has one row per distinct report: `report` (SHA-256 of the text) and `entities`
(columns that are positive). The texts themselves are not kept.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ecg_lib.disk import write_file
from ecg_lib.entities.entity_set import FORMAT, EntitySet
from ecg_lib.errors import DataError

ENTITIES, LABELS = "entities.json", "labels.parquet"
_CURE = "mine the reports again with `debiased-ecg mine`"


def text_hash(report: str) -> str:
    """Return the SHA-256 of a report, under which its labels are kept."""
    return hashlib.sha256(report.encode("utf-8", "surrogatepass")).hexdigest()


def save_labels(
    folder: str | os.PathLike,
    entities: EntitySet,
    reports: Sequence[str],
    labels: np.ndarray,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Save a set of entities with the labels of the reports that it was mined from.

    `entities.json` is written last and holds the hash of the labels, so that an interrupted run
    leaves the older folder, or one that is refused.

    Parameters
    ----------
    labels : (N, Q) bool
        One row per report. Reports may repeat.
    about : mapping, optional
        JSON-compatible: how it was mined, such as the model and what was dropped.
    """
    folder = Path(folder)
    rows: dict[str, list[int]] = {}
    for report, row in zip(reports, labels, strict=True):
        rows.setdefault(text_hash(report), np.flatnonzero(row).tolist())
    columns = {
        "report": pa.array(list(rows), pa.string()),
        "entities": pa.array(list(rows.values()), pa.list_(pa.int32())),
    }
    write_file(folder / LABELS, lambda path: pq.write_table(pa.table(columns), path))
    told = {
        "format": FORMAT,
        "hash": entities.hash,
        "labels_sha256": _sha256(folder / LABELS),
        "reports": len(rows),
        "about": dict(about or {}),
        "names": list(entities.names),
        **entities.as_json(),
    }
    write_file(folder / ENTITIES, json.dumps(told, indent=1, ensure_ascii=False) + "\n")


def load_entities(folder: str | os.PathLike) -> EntitySet:
    """Load the entities of a saved folder.

    Raises
    ------
    DataError
        The folder holds none, or its files are damaged or of two runs.
    """
    file = Path(folder) / ENTITIES
    if not file.is_file():
        raise DataError(f"{folder}: no {ENTITIES} there; {_CURE}")
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        entities = EntitySet.from_json(told)
        right = told["hash"] == entities.hash and told["format"] == FORMAT
        right = right and told["labels_sha256"] == _sha256(Path(folder) / LABELS)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{file} is damaged ({reason}); {_CURE}") from error
    if not right:
        raise DataError(f"{file} and {LABELS} do not belong together; {_CURE}")
    return entities


def load_labels(folder: str | os.PathLike, reports: Sequence[str]) -> tuple[EntitySet, np.ndarray]:
    """Load the entities of a saved folder and the labels of some reports.

    Returns
    -------
    entities : EntitySet
    labels : (N, Q) bool
        One row per report. A report without a word has no label.

    Raises
    ------
    DataError
        As for `load_entities`, or a report was not mined.
    """
    entities = load_entities(folder)
    table = pq.read_table(Path(folder) / LABELS)
    row_of = {key: row for row, key in enumerate(table["report"].to_pylist())}
    positive = table["entities"].to_pylist()
    labels = np.zeros((len(reports), len(entities.names)), bool)
    unknown = []
    for row, report in enumerate(reports):
        at = row_of.get(text_hash(report))
        if at is not None:
            labels[row, positive[at]] = True
        elif report.strip():
            unknown.append(report)
    if unknown:
        start = " ".join(unknown[0].split())[:40]
        raise DataError(
            f"{folder}: {len(unknown):,} of {len(reports):,} reports were not mined, the first is "
            f"{start!r}; {_CURE}, all of them together"
        )
    return entities, labels


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()

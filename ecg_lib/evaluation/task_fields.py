"""Check the fields of an evaluation set's file; errors name the file and the field."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecg_lib.errors import DataError
from ecg_lib.knowledge.findings import FINDINGS

STORE, WHOLE = "store", "whole"
FIELDS = ("title", "cohorts", "split", "minimum", "labels", "table")
PUBLISHED = ("valid", "stated", "means", "released")  # fields of sets with files of their own


def check_fields(path: Path, said: Any, tables: Mapping[str, Any]) -> None:
    """Check all fields of a set's file but its labels.

    Parameters
    ----------
    path : Path
        The file, for error messages.
    said : object
        What the file says.
    tables : mapping of str to mapping
        The labels of each table that the file may name; "" stands for none.

    Raises
    ------
    DataError
        A field is unknown, or its value is none that it can have.
    """
    if not isinstance(said, dict) or (unknown := set(said) - {*FIELDS, *PUBLISHED}):
        which = f"{min(unknown)}: unknown field; " if isinstance(said, dict) else "no fields; "
        raise DataError(f"{path.name}: {which}use only the fields {', '.join(FIELDS + PUBLISHED)}")
    if not isinstance(said.get("title"), str):
        raise DataError(f"{path.name}: title: give one as text")
    split = said.get("split")
    held_out = (
        isinstance(split, dict) and split and all(isinstance(v, list) for v in split.values())
    )
    if split not in (STORE, WHOLE) and not (split and held_out):
        raise DataError(
            f"{path.name}: split: give {STORE}, {WHOLE}, or an attribute with its held-out "
            "values, such as {strat_fold: [9, 10]}"
        )
    if not isinstance(said.get("minimum"), (int, float, type(None))):
        raise DataError(f"{path.name}: minimum: give a likelihood from 0 to 100, or null")
    _check_published(path, said, bool(held_out))
    if (said.get("table") or "") not in tables:
        raise DataError(f"{path.name}: table: give {' or '.join(filter(None, tables))}, or omit it")
    if not isinstance(said.get("labels") or {}, dict):
        raise DataError(
            f"{path.name}: labels: give each as label: {{codes: [...], prompts: [...]}}"
        )
    beyond = set(said.get("labels") or {}) - set(tables[said.get("table") or ""])
    if said.get("table") and beyond:
        raise DataError(
            f"{path.name}: labels.{min(beyond)}: not a label of {said['table']}; rename "
            "or remove it"
        )


def _check_published(path: Path, said: Mapping[str, Any], held_out: bool) -> None:
    valid, means = (said.get(name) or [] for name in ("valid", "means"))
    if not isinstance(valid, list) or (valid and not held_out):
        raise DataError(
            f"{path.name}: valid: give values of the split's attribute, such as [9], or omit it"
        )
    if not isinstance(said.get("stated", False), bool):
        raise DataError(f"{path.name}: stated: give true or false")
    if not isinstance(means, list) or not all(type(n) is int and n > 0 for n in means):
        raise DataError(f"{path.name}: means: give numbers of positives from 1 up, such as [1, 10]")


def label_fields(
    path: Path, name: str, said: Mapping[str, Any], may_lack_codes: bool = False
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the codes and the texts of a label.

    Parameters
    ----------
    may_lack_codes : bool
        Allow `codes: []`, for sets whose labels can be read from released files.

    Raises
    ------
    DataError
        A code or superclass is not in findings.csv, or codes or texts are missing.
    """
    where, codes = f"{path.name}: labels.{name}", said.get("codes")
    if "superclass" in said:
        codes = list(FINDINGS.index[FINDINGS["superclass"] == said["superclass"]])
        if not codes:
            raise DataError(
                f"{where}.superclass: {said['superclass']!r} is not in findings.csv; use one of "
                "its superclasses"
            )
    if not codes and not (may_lack_codes and codes == []):
        raise DataError(f"{where}.codes: give codes from findings.csv, or a superclass")
    unknown = [code for code in codes if code not in FINDINGS.index]
    if unknown:
        raise DataError(f"{where}.codes: {unknown[0]!r} is not in findings.csv; use one that is")
    if not said.get("prompts"):
        raise DataError(f"{where}.prompts: give at least one text that describes the label")
    return tuple(codes), tuple(said["prompts"])

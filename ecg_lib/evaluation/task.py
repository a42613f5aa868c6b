"""Evaluation sets as data: `tasks/NAME.yaml` gives the cohorts, split, labels and prompt texts.

To add an evaluation set, add a file to that folder; nothing else is needed. The fields are:

``title``     name of the set, for readers
``cohorts``   sources of `ecg_lib.data.sources` that the set was made for; empty means any
``split``     ``whole``: the whole cohort is the test set; ``store``: the store's own splits; or an
              attribute with the values that are held out, such as ``{strat_fold: [9, 10]}``
``minimum``   lowest likelihood at which a code counts; null means any
``labels``    label -> ``codes`` of findings.csv, any of which counts (or ``superclass``, a value of
              that column), and ``prompts``, the texts that mean the label
``table``     a table of `ecg_lib.knowledge` that supplies what ``labels`` leaves out
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import yaml

from ecg_lib.data.store import EcgStore
from ecg_lib.errors import DataError
from ecg_lib.evaluation.same_ecg import without_copies
from ecg_lib.knowledge.findings import FINDINGS, transfer_findings
from ecg_lib.knowledge.zero_shot_labels import LABEL_TEXT, zero_shot_labels, zero_shot_targets

ROOM = "ecg_lib.evaluation.tasks"  # this string puts the folder's files into its readers' code hash
FOLDER = Path(__file__).resolve().parent / ROOM.rpartition(".")[2]
STORE, WHOLE = "store", "whole"
_MADE_ANEW = "simulated"  # source of ECGs that no other store can hold
_FIELDS = ("title", "cohorts", "split", "minimum", "labels", "table")
_FINDINGS, _NINE = "transfer_findings.csv", "zero_shot_labels.csv"


@dataclass(frozen=True)
class Label:
    """The codes of a label, any of which counts, and the texts that mean it."""

    codes: tuple[str, ...]
    prompts: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """One evaluation set; the module docstring describes the fields."""

    name: str
    title: str
    cohorts: tuple[str, ...]
    split: str | Mapping[str, Sequence[Any]]
    minimum: float | None
    table: str
    labels: Mapping[str, Label]

    @property
    def prompts(self) -> dict[str, tuple[str, ...]]:
        """The texts of each label."""
        return {name: label.prompts for name, label in self.labels.items()}

    @property
    def hash(self) -> str:
        """Hash of the split, the minimum, the table's name and the labels."""
        labels = {name: asdict(label) for name, label in self.labels.items()}
        split = self.split if isinstance(self.split, str) else dict(self.split)
        said = json.dumps([split, self.minimum, self.table, labels])
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def targets(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return which ECGs have which label.

        Parameters
        ----------
        records : (N,) DataFrame
            `EcgStore.records` or rows of it.

        Returns
        -------
        (N, labels) DataFrame of bool
            With zero_shot_labels.csv nullable booleans: NA where the ECG's data set cannot carry
            the label.
        """
        if self.table == _NINE:
            return zero_shot_targets(records, self.minimum)
        return pd.DataFrame(
            {
                name: [self._stated(stated, label.codes) for stated in records["labels"]]
                for name, label in self.labels.items()
            },
            index=records.index,
            dtype=bool,
        )

    def _stated(self, stated: Mapping[str, float], codes: Sequence[str]) -> bool:
        found = (stated[code] for code in codes if code in stated)
        return any(self.minimum is None or p == 0 or p >= self.minimum for p in found)

    def rows(self, train: EcgStore, test: EcgStore) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows to train on and the rows to test on, with no patient in both.

        Two different stores are used whole. If both are the same store, it is divided as `split`
        says, or by its own splits if none of its ECGs has the attribute. Recordings to train on
        that are tested under another name are left out with all ECGs of their patients, and a
        warning says so.

        Returns
        -------
        train, test : (n,) int
            Positions in the two stores.

        Raises
        ------
        DataError
            No ECG is left to train or to test on, a patient would be in both parts, all ECGs to
            train on are tested under other names, or `split` is "whole" and only one store is
            given.
        """
        rows = (
            (np.arange(len(train)), np.arange(len(test)))
            if train.hash != test.hash
            else self._parted(train)
        )
        for name, store, chosen in zip(("train", "test"), (train, test), rows, strict=True):
            if not len(chosen):
                raise DataError(f"--{name} {store.folder}: no ECG to {name} on; give another store")
        both = set(patients_of(train, rows[0])) & set(patients_of(test, rows[1]))
        if both:
            raise DataError(
                f"{len(both)} patients (such as {min(both)}) are in both {train.folder} and "
                f"{test.folder}; give one store for both, which is then split by its folds"
            )
        if {train.manifest["source"], test.manifest["source"]} == {_MADE_ANEW}:
            return rows
        return without_copies(train, rows[0], test, rows[1]), rows[1]

    def _parted(self, store: EcgStore) -> tuple[np.ndarray, np.ndarray]:
        if self.split == WHOLE:
            raise DataError(
                f"task {self.name} is tested on whole cohorts; give --train and --test different "
                "stores"
            )
        parting = {} if isinstance(self.split, str) else self.split  # the only text left is STORE
        for attribute, values in parting.items():
            known = store.attributes.map(lambda known, a=attribute: known.get(a))
            if known.notna().any():
                held_out = known.isin(values)
                return np.flatnonzero(~held_out & known.notna()), np.flatnonzero(held_out)
        return store.rows(split="train"), store.rows(split="test")


def patients_of(store: EcgStore, rows: np.ndarray) -> np.ndarray:
    """Return the patient of each row, prefixed with the cohort.

    Without the prefix, different patients of two cohorts could share an id.
    """
    few = store.records.iloc[rows]
    return (few["ecg_id"].str.partition("/")[0] + "/" + few["patient_id"]).to_numpy()


def task_names() -> list[str]:
    """Return the names of all evaluation sets."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_task(file: str | Path) -> Task:
    """Load an evaluation set by file name, such as "superclasses.yaml", or by path.

    Raises
    ------
    DataError
        The file does not exist or one of its fields is invalid; the message names both.
    """
    path = FOLDER / file
    if not path.is_file():
        raise DataError(
            f"{path.name}: no such evaluation set; choose {', '.join(task_names())}, or add the "
            "file to ecg_lib/evaluation/tasks"
        )
    said = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    _check(path, said)
    table = said.get("table") or ""
    known = _tables()[table]
    own = said.get("labels") or {}
    labels = {
        str(name): _label(path, str(name), known.get(name, {}) | (own.get(name) or {}))
        for name in known or own
    }
    if not labels:
        raise DataError(f"{path.name}: labels: give at least one")
    cohorts, minimum = said.get("cohorts") or (), said.get("minimum")
    split = said["split"]
    if not isinstance(split, str):
        split = MappingProxyType({key: tuple(values) for key, values in split.items()})
    return Task(path.stem, said["title"], tuple(cohorts), split, minimum, table, labels)


def _tables() -> dict[str, dict[Any, dict[str, Any]]]:
    """Return the labels that each table defines, by the table's name; "" stands for no table."""
    findings = transfer_findings().set_index("finding")
    return {
        "": {},
        _FINDINGS: findings[["codes", "prompts"]].to_dict("index"),
        _NINE: {
            label: {"codes": codes, "prompts": [LABEL_TEXT[label]]}
            for label, codes in zero_shot_labels().items()
        },
    }


def _check(path: Path, said: Any) -> None:
    if not isinstance(said, dict) or (unknown := set(said) - set(_FIELDS)):
        which = f"{min(unknown)}: unknown field; " if isinstance(said, dict) else "no fields; "
        raise DataError(f"{path.name}: {which}use only the fields {', '.join(_FIELDS)}")
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
    tables = _tables()
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


def _label(path: Path, name: str, said: Mapping[str, Any]) -> Label:
    where, codes = f"{path.name}: labels.{name}", said.get("codes")
    if "superclass" in said:
        codes = list(FINDINGS.index[FINDINGS["superclass"] == said["superclass"]])
        if not codes:
            raise DataError(
                f"{where}.superclass: {said['superclass']!r} is not in findings.csv; use one of "
                "its superclasses"
            )
    if not codes:
        raise DataError(f"{where}.codes: give codes from findings.csv, or a superclass")
    unknown = [code for code in codes if code not in FINDINGS.index]
    if unknown:
        raise DataError(f"{where}.codes: {unknown[0]!r} is not in findings.csv; use one that is")
    if not said.get("prompts"):
        raise DataError(f"{where}.prompts: give at least one text that describes the label")
    return Label(tuple(codes), tuple(said["prompts"]))

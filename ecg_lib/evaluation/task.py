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

and, for sets that were published with files of their own,

``valid``     values of the split's attribute that are neither trained nor tested on
``stated``    true: only ECGs with at least one of the labels belong to the set
``means``     mean AUCs to report, each over labels with at least so many positives: ``[1, 10]``
``released``  the published label files, see `ecg_lib.evaluation.released_files`; a label of such a
              set may have ``codes: []`` if no code of findings.csv says exactly the same
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
from ecg_lib.evaluation.released_files import ReleasedFiles
from ecg_lib.evaluation.same_ecg import without_copies
from ecg_lib.evaluation.task_fields import WHOLE, check_fields, label_fields
from ecg_lib.knowledge.findings import transfer_findings
from ecg_lib.knowledge.zero_shot_labels import LABEL_TEXT, zero_shot_labels, zero_shot_targets

ROOM = "ecg_lib.evaluation.tasks"  # this string puts the folder's files into its readers' code hash
FOLDER = Path(__file__).resolve().parent / ROOM.rpartition(".")[2]
_MADE_ANEW = "simulated"  # source of ECGs that no other store can hold
_FINDINGS, _NINE = "transfer_findings.csv", "zero_shot_labels.csv"


@dataclass(frozen=True)
class Label:
    """The codes of a label, any of which counts, and the texts that mean it.

    A label without codes can be known from the set's released files only.
    """

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
    valid: tuple[Any, ...] = ()
    stated: bool = False
    means: tuple[int, ...] = ()
    released: ReleasedFiles | None = None

    @property
    def prompts(self) -> dict[str, tuple[str, ...]]:
        """The texts of each label."""
        return {name: label.prompts for name, label in self.labels.items()}

    @property
    def hash(self) -> str:
        """Hash of all that decides who is trained and tested on, and with which labels."""
        labels = {name: asdict(label) for name, label in self.labels.items()}
        split = self.split if isinstance(self.split, str) else dict(self.split)
        parts: list[Any] = [split, self.minimum, self.table, labels]
        if self.valid or self.stated:
            parts += [self.valid, self.stated]
        said = json.dumps(parts)
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
            the label. A label without codes is NA everywhere.
        """
        if self.table == _NINE:
            return zero_shot_targets(records, self.minimum)
        known = {name: label.codes for name, label in self.labels.items() if label.codes}
        found = pd.DataFrame(
            {
                name: [self._stated(stated, codes) for stated in records["labels"]]
                for name, codes in known.items()
            },
            index=records.index,
            dtype=bool,
        )
        unknown = [name for name in self.labels if name not in known]
        return found.assign(**dict.fromkeys(unknown, pd.NA))[list(self.labels)].astype(
            dict.fromkeys(unknown, "boolean")
        )

    def scored(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return the labels that a probe is scored against, in the form of `targets`.

        They differ from `targets` only where published files do, see `released_task`.
        """
        return self.targets(records)

    def members(self, records: pd.DataFrame) -> np.ndarray:
        """Return which ECGs belong to the set, (N,) bool: all, or those with a label (`stated`)."""
        if not self.stated:
            return np.ones(len(records), bool)
        return self.targets(records).any(axis=1).to_numpy(bool)

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
        rows = self._chosen(train, test)
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

    def test_rows(self, store: EcgStore) -> np.ndarray:
        """Return the rows of one store that the set tests on; with split "whole", all members."""
        if self.split == WHOLE:
            return np.flatnonzero(self.members(store.records))
        return self._parted(store)[1]

    def _chosen(self, train: EcgStore, test: EcgStore) -> tuple[np.ndarray, np.ndarray]:
        if train.hash == test.hash:
            return self._parted(train)
        one, two = (np.flatnonzero(self.members(store.records)) for store in (train, test))
        return one, two

    def _parted(self, store: EcgStore) -> tuple[np.ndarray, np.ndarray]:
        if self.split == WHOLE:
            files = ", or the published label files (--released)" if self.released else ""
            raise DataError(
                f"task {self.name} is tested on whole cohorts; give --train and --test different "
                f"stores{files}"
            )
        belongs = self.members(store.records)
        parting = {} if isinstance(self.split, str) else self.split  # the only text left is STORE
        for attribute, values in parting.items():
            known = store.attributes.map(lambda known, a=attribute: known.get(a))
            if known.notna().any():
                held_out = known.isin(values)
                train = ~held_out & ~known.isin(self.valid) & known.notna()
                return np.flatnonzero(train & belongs), np.flatnonzero(held_out & belongs)
        parts = (store.rows(split=split) for split in ("train", "test"))
        one, two = (rows[belongs[rows]] for rows in parts)
        return one, two


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
    tables = _tables()
    check_fields(path, said, tables)
    table = said.get("table") or ""
    known = tables[table]
    own = said.get("labels") or {}
    released = ReleasedFiles.of(path, said["released"]) if said.get("released") else None
    labels = {}
    for name in map(str, known or own):
        fields = known.get(name, {}) | (own.get(name) or {})
        labels[name] = Label(*label_fields(path, name, fields, may_lack_codes=bool(released)))
    if not labels:
        raise DataError(f"{path.name}: labels: give at least one")
    cohorts, minimum = said.get("cohorts") or (), said.get("minimum")
    split = said["split"]
    if not isinstance(split, str):
        split = MappingProxyType({key: tuple(values) for key, values in split.items()})
    return Task(
        *(path.stem, said["title"], tuple(cohorts), split, minimum, table, labels),
        valid=tuple(said.get("valid") or ()),
        stated=bool(said.get("stated")),
        means=tuple(said.get("means") or ()),
        released=released,
    )


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

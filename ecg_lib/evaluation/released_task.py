"""An evaluation set whose labels and split come from its published files instead of the store."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_lib.data.record import SPLITS
from ecg_lib.data.store import EcgStore
from ecg_lib.errors import DataError
from ecg_lib.evaluation.released_files import Released, read_released, record_names
from ecg_lib.evaluation.task import Task


@dataclass(frozen=True, eq=False, kw_only=True)
class ReleasedTask(Task):
    """A `Task` that knows the ECGs listed in its files, joined to a store by the record's name.

    An ECG belongs to the set if the files list it, whatever its labels. Two stores are divided like
    one: training rows are those listed as train in the first, test rows as test in the second.
    """

    listed: Released

    @property
    def hash(self) -> str:
        """Hash of the set and of its files."""
        return f"{super().hash}-{self.listed.hash}"

    def targets(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return the labels of ECGs by column name, (N, labels) nullable bool; NA if not listed."""
        return self._joined(self.listed.targets, records)

    def scored(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return the labels that a probe is scored against.

        They differ from `targets` only if labels are as released: then the columns are taken by
        position, in which the released code reads them. Zero-shot takes `targets`, because there
        each column keeps its own name.
        """
        return self._joined(self.listed.scored, records)

    def members(self, records: pd.DataFrame) -> np.ndarray:
        """Return which ECGs are listed, (N,) bool."""
        return self.splits(records).notna().to_numpy(bool)

    def splits(self, records: pd.DataFrame) -> pd.Series:
        """Return each ECG's "train", "valid" or "test", (N,); missing if it is not listed."""
        return self.listed.split.reindex(self.names(records)).set_axis(records.index)

    def names(self, records: pd.DataFrame) -> list[str]:
        """Return the name under which the files may list each ECG; "" for other cohorts' ECGs."""
        assert self.released is not None  # `with_released` checks it
        cohorts = records["ecg_id"].str.partition("/")[0]
        names = record_names(records["ecg_id"])
        own = cohorts.isin(self.released.cohorts)
        return [name if is_own else "" for name, is_own in zip(names, own, strict=True)]

    def at_hand(self, store: EcgStore) -> pd.DataFrame:
        """Count the listed records.

        Returns
        -------
        DataFrame
            Index train, valid, test; columns `listed`, `at_hand` and `absent` from the store.
        """
        listed = self.listed.split.value_counts().reindex(SPLITS, fill_value=0)
        found = self.splits(store.records).value_counts().reindex(SPLITS, fill_value=0)
        return pd.DataFrame({"listed": listed, "at_hand": found, "absent": listed - found})

    def test_rows(self, store: EcgStore) -> np.ndarray:
        """Return the rows of a store that are listed as test."""
        return self._rows(store, "test")

    def _chosen(self, train: EcgStore, test: EcgStore) -> tuple[np.ndarray, np.ndarray]:
        return self._rows(train, "train"), self._rows(test, "test")

    def _rows(self, store: EcgStore, split: str) -> np.ndarray:
        return np.flatnonzero((self.splits(store.records) == split).to_numpy(bool))

    def _joined(self, table: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
        joined = table.astype("boolean").reindex(self.names(records))
        return joined.set_axis(records.index)


def with_released(task: Task, root: str | Path, corrected: bool = True) -> ReleasedTask:
    """Return a set with labels and split from its published files.

    Parameters
    ----------
    root : str or Path
        The folder that holds the published files, or one up to two levels above it.
    corrected : bool
        False takes the labels as released, with their defects; see `released_files`.

    Raises
    ------
    DataError
        The set has no published files, or they cannot be read.
    """
    if task.released is None:
        raise DataError(
            f"task {task.name} has no published label files; leave them out, or give its file a "
            "field `released`"
        )
    listed = read_released(task.released, list(task.labels), root, corrected)
    kept = {field.name: getattr(task, field.name) for field in fields(Task)}
    return ReleasedTask(**kept, listed=listed)

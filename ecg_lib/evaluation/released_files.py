"""Read the label files that a set was published with: one CSV for train, val and test each.

MERL (Liu et al., ICML 2024, commit 38799b7) published such files for six sets, which K-MERL uses.
An evaluation set names them in its field ``released``:

``files``    path of the files below the folder that holds them all, up to _train.csv
``record``   column that names the record: a number, a name, or a path whose last part is the name
``cohorts``  first parts of the ecg_ids that such a record can have
``codes``    column with the record's own codes, separated by commas, if labels are to be read there

Columns are read by name. Two defects of MERL's files make that matter:

- PTBXL-Sub's train file has three label columns in another order than its val and test files, and
  the released code reads labels by position.
- CSN's label columns were filled by substring: AF also holds every AFIB, ST every STE. Its codes
  stand whole in the column `diagnose`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from ecg_lib.data.folders import locate
from ecg_lib.data.record import SPLITS
from ecg_lib.data.source_files import read_source_table
from ecg_lib.errors import DataError

ENDINGS = MappingProxyType({"train": "_train.csv", "valid": "_val.csv", "test": "_test.csv"})
_NAME = "published label files"


@dataclass(frozen=True)
class ReleasedFiles:
    """Where the label files of a set lie and how to read them; see the module's docstring."""

    files: str
    record: str
    cohorts: tuple[str, ...]
    codes: str = ""

    @classmethod
    def of(cls, path: Path, said: Any) -> ReleasedFiles:
        """Build from the field of a set's file; raise `DataError` if it is incomplete."""
        known = ("files", "record", "cohorts", "codes")
        texts = isinstance(said, dict) and all(
            isinstance(said.get(name, ""), str) for name in ("files", "record", "codes")
        )
        whole = texts and set(known[:3]) <= set(said) <= set(known)
        if not whole or not isinstance(said["cohorts"], list):
            raise DataError(
                f"{path.name}: released: give files, record and cohorts (a list), and codes if "
                "the labels are in such a column"
            )
        cohorts = tuple(map(str, said["cohorts"]))
        return cls(said["files"], said["record"], cohorts, said.get("codes", ""))

    @property
    def signature(self) -> str:
        """The file by which their folder is recognised below a data root."""
        return self.files + ENDINGS["train"]


@dataclass(frozen=True, eq=False)
class Released:
    """The labels and the split of a set as its files state them.

    Attributes
    ----------
    split : (N,) Series of str
        "train", "valid" or "test", indexed by the record's name, in the order of the files.
    targets : (N, labels) DataFrame of bool
        Read by column name.
    scored : (N, labels) DataFrame of bool
        What a probe is scored against: `targets`, or, as released, the labels that the released
        code finds in the position that the train file gives the label.
    moved : mapping of str to str
        Labels in whose position the test file has another one, and which.
    hash : str
        Of the files' content and of how they were read.
    """

    split: pd.Series
    targets: pd.DataFrame
    scored: pd.DataFrame
    moved: Mapping[str, str]
    hash: str


def record_names(cells: Sequence[Any] | pd.Series) -> list[str]:
    """Return the names of records: "JS08246" for a path to JS08246.mat, "9" for 9 and "00009"."""
    stems = (str(cell).strip().rpartition("/")[2].partition(".")[0] for cell in cells)
    return [str(int(stem)) if stem.isdecimal() else stem for stem in stems]


def read_released(
    said: ReleasedFiles, labels: Sequence[str], root: str | Path, corrected: bool = True
) -> Released:
    """Read the label files of a set.

    Parameters
    ----------
    labels : sequence of str
        The set's labels, columns of the files.
    root : str or Path
        The folder that holds the files of all sets, or one up to two levels above it.
    corrected : bool
        Read labels by column name and, if the files state whole codes, from these. Otherwise they
        are as released: the columns' cells, and `scored` by position.

    Raises
    ------
    DataError
        A file is missing or damaged, lacks a column, has a cell other than 0 and 1, or a record is
        listed twice.
    """
    folder = locate(root, said.signature, _NAME)
    paths = {split: folder / (said.files + ENDINGS[split]) for split in SPLITS}
    needed = [said.record, *labels, *([said.codes] if said.codes else [])]
    tables = {
        split: read_source_table(path, folder, _NAME, needed, dtype=str, keep_default_na=False)
        for split, path in paths.items()
    }
    orders = {split: [c for c in table if c in set(labels)] for split, table in tables.items()}
    own, positions = [], []
    for split, table in tables.items():
        by_name = _cells(paths[split], table, labels)
        if corrected and said.codes:
            by_name = _whole_codes(table[said.codes], labels)
        renamed = dict(zip(orders[split], orders["train"], strict=True))
        own.append(by_name)
        positions.append(by_name if corrected else by_name.rename(columns=renamed)[list(labels)])
    names = record_names(pd.concat([table[said.record] for table in tables.values()]))
    split = pd.Series(np.repeat(list(tables), [len(t) for t in tables.values()]), names)
    if split.index.has_duplicates:
        twice = split.index[split.index.duplicated()][0]
        raise DataError(f"{_NAME}: {said.files}_*.csv list record {twice} twice; keep one row")
    digest = hashlib.sha256(f"{corrected}".encode())
    for path in paths.values():
        digest.update(path.read_bytes())
    places = zip(orders["train"], orders["test"], strict=True)
    return Released(
        split,
        pd.concat(own).set_axis(names),
        pd.concat(positions).set_axis(names),
        MappingProxyType({one: two for one, two in places if one != two}),
        digest.hexdigest()[:16],
    )


def _cells(path: Path, table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    cells = table[list(labels)].apply(lambda column: column.str.strip())
    odd = ~cells.isin(["0", "1"])
    if odd.to_numpy().any():
        row, column = (int(at[0]) for at in np.nonzero(odd.to_numpy()))
        raise DataError(
            f"{_NAME}: {path}: {labels[column]} of row {row + 2} is "
            f"{cells.iat[row, column][:20]!r}; give 0 or 1"
        )
    return cells == "1"


def _whole_codes(column: pd.Series, labels: Sequence[str]) -> pd.DataFrame:
    stated = [{code.strip() for code in cell.split(",")} for cell in column]
    return pd.DataFrame({label: [label in codes for codes in stated] for label in labels})

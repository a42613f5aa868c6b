"""Define the ECG record that all cohorts share, and the interface of a source of ECGs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from ecg_lib.signal.resample import STANDARD_RATE

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class EcgRecord:
    """One 12-lead ECG.

    `labels` maps codes of findings.csv to likelihoods in per cent. As in PTB-XL, 0 means "stated
    without a likelihood" and counts as certain. `attributes` may hold `heart_axis`, `noise`
    (kind -> leads), `extrasystoles`, `infarction_stage`, `form_leads` (code -> leads), `intervals`
    (s) and the rate they were measured at (`intervals_hz`), `severity` (0..1, simulated ECGs only),
    `unmapped` (codes of the source that match no finding), `unread` (entries that could not be
    read, as "field: text"), and anything else the source knows.

    Raises
    ------
    ValueError
        The signal is not (12, T), or the split or sex is unknown.
    """

    ecg_id: str  # "<cohort>/<record>", e.g. "ptbxl/00001"
    patient_id: str
    signal: np.ndarray  # float32 (12, T), mV at `rate`, in the order of LEADS
    recorded_at: str = ""  # ISO 8601, "" if unknown
    age: float = math.nan  # years
    sex: str = ""  # "F", "M" or ""
    labels: dict[str, float] = field(default_factory=dict)
    report: str = ""
    split: str = "train"
    attributes: dict[str, Any] = field(default_factory=dict)
    rate: int = STANDARD_RATE  # Hz

    def __post_init__(self) -> None:
        if self.signal.ndim != 2 or len(self.signal) != 12:
            raise ValueError(
                f"{self.ecg_id}: signal has shape {self.signal.shape}; give shape (12, T)"
            )
        if self.split not in SPLITS:
            raise ValueError(f"{self.ecg_id}: split is {self.split!r}; choose one of {SPLITS}")
        if self.sex not in ("F", "M", ""):
            raise ValueError(f"{self.ecg_id}: sex is {self.sex!r}; give F, M or an empty string")


@runtime_checkable
class Source(Protocol):
    """A cohort of ECGs; to add your own, write a picklable class with these five members.

    >>> class Mine:
    ...     name, version = "mine", "1"           # version: changes whenever the records do
    ...     def index(self): return ["a", "b"]    # cheap: reads no signal
    ...     def item_name(self, item): return item
    ...     def read(self, item): ...             # -> EcgRecord, or raises BadRecord(reason)

    Items must be plain data (strings, numbers, dicts). They are sent to worker processes, and their
    text helps to identify the preparation that an interrupted run belongs to.
    `index` may set `self.not_at_hand`, the number of listed ECGs whose signals are absent.
    A source whose records are not at 100 Hz needs `self.rate`.
    A source that reads files should offer `files(item) -> list[Path]`, all that `read(item)` reads
    besides tables: a record whose files have changed since is then read again.
    A source that generates ECGs may offer `batches() -> Iterator[list[EcgRecord]]`, which yields
    all records in the order of `index` and is then used instead of `read`.

    A class in a file of data/sources/ becomes a cohort that can be prepared if it has two more
    constants: `NAME`, and `SIGNATURE`, the file or folder to look for below a data root (None if
    it needs no folder). It is built by `Mine(root, rate=100, ...)`, or by `Mine(rate=100, ...)` if
    it needs no folder.
    """

    name: str
    version: str

    def index(self) -> Sequence[Any]: ...  # noqa: D102

    def item_name(self, item: Any) -> str: ...  # noqa: D102

    def read(self, item: Any) -> EcgRecord: ...  # noqa: D102


class Rows(Sequence):
    """Rows of a table as items, turned into dictionaries on demand so that 800,000 stay cheap."""

    def __init__(self, table: pd.DataFrame):
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return self.table.iloc[at].to_dict("records")
        return self.table.iloc[[at]].to_dict("records")[0]

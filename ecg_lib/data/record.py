"""One ECG as every cohort delivers it, and what a source of ECGs has to offer."""

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

    `labels` maps a code of findings.csv to its likelihood in per cent; 0 means "stated without a
    likelihood", as in PTB-XL, and counts as certain. `attributes` may hold `heart_axis`, `noise`
    (kind -> leads), `extrasystoles`, `infarction_stage`, `form_leads` (code -> leads),
    `intervals` (seconds; `intervals_hz`: measured at this rate), `severity` (0..1, simulated
    only), `unmapped` (the source's own codes that no finding stands for) and whatever else a
    source knows.
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
            raise ValueError(f"{self.ecg_id}: signal is {self.signal.shape}, not (12, T)")
        if self.split not in SPLITS:
            raise ValueError(f"{self.ecg_id}: split {self.split!r} is not in {SPLITS}")
        if self.sex not in ("F", "M", ""):
            raise ValueError(f"{self.ecg_id}: sex {self.sex!r} is not F, M or empty")


@runtime_checkable
class Source(Protocol):
    """A cohort, wherever it comes from. Your own: a picklable class with these five members.

    >>> class Mine:
    ...     name, version = "mine", "1"           # version: all that shapes a record
    ...     def index(self): return ["a", "b"]    # cheap: no signal is read
    ...     def item_name(self, item): return item
    ...     def read(self, item): ...             # -> EcgRecord, or raises BadRecord(reason)

    Items must be plain data (strings, numbers, dicts): worker processes receive them, and their
    text is part of what tells an interrupted preparation from another one.
    `index` may set `self.not_at_hand`: how many ECGs a table lists whose signals are absent.
    A source whose records are not at 100 Hz has `self.rate`.
    A generator of ECGs may offer `batches() -> Iterator[list[EcgRecord]]`, all records in the
    order of `index`, used instead of `read` where present.

    A class in a file of data/sources/ becomes a cohort to prepare by two constants more: `NAME`
    and `SIGNATURE`, the file or folder to look for below a data root (None: it needs no folder).
    It is built by `Mine(root, rate=100, ...)`, without a folder by `Mine(rate=100, ...)`.
    """

    name: str
    version: str

    def index(self) -> Sequence[Any]: ...

    def item_name(self, item: Any) -> str: ...

    def read(self, item: Any) -> EcgRecord: ...


class Rows(Sequence):
    """The rows of a table as items: dictionaries made on demand, so that 800,000 stay cheap."""

    def __init__(self, table: pd.DataFrame):
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return self.table.iloc[at].to_dict("records")
        return self.table.iloc[[at]].to_dict("records")[0]

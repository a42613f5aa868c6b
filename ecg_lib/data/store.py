"""Read prepared stores: one folder per cohort and rate, readable without ecg_lib.

signals.npy      int16 uV (N, 12, T), leads in the order of LEADS
records.parquet  one row per ECG, in the same order
quarantine.csv   what was left out, and why
manifest.json    source, version, rate (Hz), seconds, counts, hash of the content
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ecg_lib.data.not_understood import told
from ecg_lib.data.record import SPLITS, EcgRecord
from ecg_lib.data.shards import (
    CHUNK,
    UNIT_MV,
    rate_mark,
)
from ecg_lib.errors import DataError
from ecg_lib.signal.leads import LEADS
from ecg_lib.signal.resample import STANDARD_RATE

FORMAT = 1
SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("ecg_id", "patient_id", "recorded_at")]
    + [("age", pa.float64()), ("sex", pa.string()), ("split", pa.string())]
    + [("normal", pa.bool_()), ("severity", pa.float64())]
    + [(name, pa.string()) for name in ("report", "labels", "attributes")]
)


class EcgStore:
    """A prepared cohort, opened with `EcgStore.open(folder)`.

    Attributes
    ----------
    records : DataFrame
        One row per ECG; `labels` and `attributes` are dictionaries.
    signals : (N, 12, samples) int16, uV
        Memory map at `rate`; `mv` returns mV.
    manifest : dict
        Contents of manifest.json.
    """

    def __init__(self, folder: Path, manifest: dict, records: pd.DataFrame, signals: np.ndarray):
        self.folder, self.manifest, self.records, self.signals = folder, manifest, records, signals

    @classmethod
    def open(cls, folder: str | os.PathLike) -> EcgStore:
        """Open a store.

        Raises
        ------
        DataError
            The folder holds no store, or a damaged one.
        """
        folder = Path(folder)
        if not (folder / "manifest.json").is_file():
            raise DataError(f"no prepared ECGs in {folder}; run `debiased-ecg prepare` first")
        try:
            manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            records = pq.read_table(folder / "records.parquet").to_pandas()
            signals = np.load(folder / "signals.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"store {folder} is damaged ({reason}); prepare it again") from error
        if manifest.get("format") != FORMAT or signals.shape[:2] != (len(records), len(LEADS)):
            raise DataError(f"store {folder} is incomplete or in another format; prepare it again")
        for column in ("labels", "attributes"):
            records[column] = [json.loads(text) for text in records[column]]
        return cls(folder, manifest, records, signals)

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        return f"<EcgStore {summary(self)}>"

    @property
    def hash(self) -> str:
        """SHA-256 of signals and records."""
        return self.manifest["hash"]

    @property
    def rate(self) -> int:
        """Sampling rate of the signals, Hz."""
        return self.manifest.get("rate", STANDARD_RATE)

    @property
    def samples(self) -> int:
        """Samples per lead."""
        return self.signals.shape[-1]

    @property
    def labels(self) -> pd.Series:
        """One dictionary per ECG, code -> likelihood."""
        return self.records["labels"]

    @property
    def attributes(self) -> pd.Series:
        """One dictionary per ECG, see `EcgRecord`."""
        return self.records["attributes"]

    @cached_property
    def _row_by_id(self) -> dict[str, int]:
        return {ecg_id: row for row, ecg_id in enumerate(self.records["ecg_id"])}

    def __contains__(self, ecg_id: str) -> bool:
        return ecg_id in self._row_by_id

    def row_of(self, ecg_id: str) -> int:
        """Return the row of an ECG; raise `DataError` if it is not in the store."""
        try:
            return self._row_by_id[ecg_id]
        except KeyError:
            raise DataError(
                f"ECG {ecg_id} is not in store {self.folder}; take an ecg_id from records.parquet"
            ) from None

    def rows(self, **equal: Any) -> np.ndarray:
        """Return rows whose columns have given values, e.g. `rows(split="test", normal=True)`."""
        keep = np.ones(len(self), bool)
        for column, value in equal.items():
            keep &= (self.records[column] == value).to_numpy()
        return np.flatnonzero(keep)

    def mv(
        self, rows: int | str | slice | Sequence[int] | Sequence[str] | np.ndarray
    ) -> np.ndarray:
        """Return the signals of some ECGs in mV.

        Parameters
        ----------
        rows : int, slice, str, or sequence of int or str
            Row numbers or ecg_ids.

        Returns
        -------
        (n, 12, samples) float32, mV
            n is 1 for a single row or ecg_id.
        """
        at = rows if isinstance(rows, slice) else self._positions(rows)
        signals = self.signals[at].astype(np.float32)
        signals *= np.float32(UNIT_MV)
        return signals

    def _positions(
        self, rows: int | str | Sequence[int] | Sequence[str] | np.ndarray
    ) -> np.ndarray:
        several = [rows] if isinstance(rows, int | np.integer | str) else rows
        return np.asarray([self.row_of(r) if isinstance(r, str) else r for r in several], np.intp)

    def record(self, row: int | str) -> EcgRecord:
        """Return one ECG, by row or ecg_id, with all that is known about it."""
        at = self.row_of(row) if isinstance(row, str) else int(row)
        fields = self.records.iloc[at].drop(["normal", "severity"]).to_dict()
        return EcgRecord(signal=self.mv(at)[0], rate=self.rate, **fields)

    def verify(self) -> None:
        """Recompute the hash of the content.

        Raises
        ------
        DataError
            A file changed since the store was written.
        """
        digest = ContentHash(self.rate)
        for start in range(0, len(self), CHUNK):
            digest.add_signals(self.signals[start : start + CHUNK])
        digest.add_rows(pq.read_table(self.folder / "records.parquet").to_pylist())
        if digest.hexdigest() != self.hash:
            raise DataError(f"store {self.folder} changed since it was written; prepare it again")


def folder_name(cohort: str, rate: int = STANDARD_RATE) -> str:
    """Return the name of a cohort's store folder, which differs by rate."""
    return cohort if rate == STANDARD_RATE else f"{cohort}-{rate}hz"


def summary(store: EcgStore) -> str:
    """Return one line: ECGs, patients, ECGs per split, and what was left out and why."""
    counts = store.manifest["counts"]
    splits = ", ".join(f"{s} {counts[s]:,}" for s in SPLITS if counts[s])
    text = f"{store.manifest['source']}: {counts['kept']:,} ECGs of {counts['patients']:,} patients"
    text += f" ({splits})"
    if counts["not_at_hand"]:
        text += f"; {counts['not_at_hand']:,} listed but not at hand"
    if counts["quarantined"]:
        reasons = store.manifest["reasons"]
        most = ", ".join(f"{n:,} x {reason}" for reason, n in list(reasons.items())[:3])
        more = f" and {len(reasons) - 3} other reasons" if len(reasons) > 3 else ""
        text += f"; {counts['quarantined']:,} quarantined: {most}{more}"
    return text + told(store.manifest)


class ContentHash:
    """Hash of signals, rate and rows, independent of how they were cut into parts."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.signals, self.rows = hashlib.sha256(), hashlib.sha256()

    def add_signals(self, signals: np.ndarray) -> None:
        """Add int16 uV (n, 12, T)."""
        self.signals.update(np.ascontiguousarray(signals).tobytes())

    def add_rows(self, rows: Iterable[dict]) -> None:
        """Add rows of records.parquet."""
        for row in rows:
            self.rows.update(json.dumps([row[name] for name in SCHEMA.names]).encode() + b"\n")

    def hexdigest(self) -> str:
        """Return the hash so far."""
        whole = self.signals.digest() + self.rows.digest() + rate_mark(self.rate)
        return hashlib.sha256(whole).hexdigest()

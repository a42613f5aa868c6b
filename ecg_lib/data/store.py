"""Write and read prepared stores: one folder per cohort and rate, readable without ecg_lib.

signals.npy      int16 uV (N, 12, T), leads in the order of LEADS
records.parquet  one row per ECG, in the same order
quarantine.csv   what was left out, and why
manifest.json    source, version, rate (Hz), seconds, counts, hash of the content
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ecg_lib.data.not_understood import NotUnderstood, told
from ecg_lib.data.record import SPLITS, EcgRecord, Source
from ecg_lib.data.shards import (
    CHUNK,
    UNIT_MV,
    key_of,
    part_signals,
    part_text,
    rate_mark,
    rate_of,
    read_parts,
    write_batches,
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
        return self.signals[at].astype(np.float32) * np.float32(UNIT_MV)

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
        digest = _ContentHash(self.rate)
        for start in range(0, len(self), CHUNK):
            digest.add_signals(self.signals[start : start + CHUNK])
        digest.add_rows(pq.read_table(self.folder / "records.parquet").to_pylist())
        if digest.hexdigest() != self.hash:
            raise DataError(f"store {self.folder} changed since it was written; prepare it again")


def folder_name(cohort: str, rate: int = STANDARD_RATE) -> str:
    """Return the name of a cohort's store folder, which differs by rate."""
    return cohort if rate == STANDARD_RATE else f"{cohort}-{rate}hz"


def write_store(
    folder: str | os.PathLike,
    source: Source,
    workers: int = 1,
    chunk: int = CHUNK,
    reuse: bool = False,
) -> EcgStore:
    """Read a source into a store; the content does not depend on the number of workers.

    An interrupted run leaves its finished parts beside `folder`, and the next run continues from
    them. `folder` itself is replaced only after everything has been read.

    Parameters
    ----------
    folder : str or path
        Where the store is written.
    source : Source
    workers : int
        Number of processes.
    chunk : int
        Records per part.
    reuse : bool
        Return the existing store if it came from the same source, version, rate and items.

    Returns
    -------
    EcgStore

    Raises
    ------
    DataError
        No record is usable, an ecg_id occurs twice, a patient is in two splits, a record's rate
        differs from its source's, or `folder` is not a store or holds one of another rate.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()) and not (folder / "manifest.json").exists():
        raise DataError(f"{folder} exists but is not a store; name another folder or remove it")
    _refuse_another_rate(folder, rate_of(source))
    items = source.index()
    key = key_of(source, items)
    if reuse:
        with contextlib.suppress(DataError):  # no store, or a damaged one: read the source
            store = EcgStore.open(folder)
            if store.manifest["key"] == key:
                return store
    parts_folder = folder.parent / f".{folder.name}.parts-{key[:12]}"
    new = folder.parent / f".{folder.name}.new-{os.getpid()}"
    shutil.rmtree(new, ignore_errors=True)
    if hasattr(source, "batches"):
        parts = write_batches(parts_folder, source, len(items), chunk)
    else:
        parts = read_parts(parts_folder, source, items, workers, chunk)
    new.mkdir(parents=True)
    try:
        _assemble(new, source, parts, key)
        _replace(folder, new)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    for leftover in folder.parent.glob(f".{folder.name}.parts-*"):  # also those of older versions
        shutil.rmtree(leftover)
    return EcgStore.open(folder)


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


class _ContentHash:
    """Hash of signals, rate and rows, independent of how they were cut into parts."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.signals, self.rows = hashlib.sha256(), hashlib.sha256()

    def add_signals(self, signals: np.ndarray) -> None:
        self.signals.update(np.ascontiguousarray(signals).tobytes())

    def add_rows(self, rows: Iterable[dict]) -> None:
        for row in rows:
            self.rows.update(json.dumps([row[name] for name in SCHEMA.names]).encode() + b"\n")

    def hexdigest(self) -> str:
        whole = self.signals.digest() + self.rows.digest() + rate_mark(self.rate)
        return hashlib.sha256(whole).hexdigest()


def _assemble(new: Path, source: Source, parts: list[Path], key: str) -> None:
    """Write the four files from the parts, with one part in memory at a time."""
    bad: list[list[str]] = []
    total, samples = 0, 0
    for path in parts:
        text = part_text(path)
        bad += text["quarantine"]
        total += len(text["rows"])
        samples = max(samples, text["samples"])
    if not total:
        reason = f"; first check {bad[0][0]} ({bad[0][1]})" if bad else ""
        raise DataError(f"{source.name}: none of {len(bad)} records can be used{reason}")
    signals = np.lib.format.open_memmap(
        new / "signals.npy", mode="w+", dtype=np.int16, shape=(total, len(LEADS), samples)
    )
    rate = rate_of(source)
    digest, at = _ContentHash(rate), 0
    odd = NotUnderstood()
    ids: set[str] = set()
    split_of: dict[str, str] = {}
    counts = dict.fromkeys(SPLITS, 0)
    with pq.ParquetWriter(new / "records.parquet", SCHEMA) as table:
        for path in parts:
            rows = part_text(path)["rows"]
            if not rows:
                continue
            block = part_signals(path)
            for row in rows:
                _check_row(source.name, row, ids, split_of)
                counts[row["split"]] += 1
            signals[at : at + len(block)] = block
            at += len(block)
            digest.add_signals(block)
            digest.add_rows(rows)
            odd.add(rows)
            table.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
    signals.flush()
    with open(new / "quarantine.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["record", "reason"], *bad])
    counts |= {"kept": at, "patients": len(split_of), "quarantined": len(bad)}
    counts["not_at_hand"] = getattr(source, "not_at_hand", 0)
    manifest = {
        "format": FORMAT,
        "source": source.name,
        "version": source.version,
        "counts": counts,
        "reasons": _reasons(reason for _, reason in bad),
        "rate": rate,
        "seconds": samples / rate,
        "unit": "uV",
        "leads": list(LEADS),
        "key": key,
        "hash": digest.hexdigest(),
    } | odd.manifest()
    written = json.dumps(manifest, indent=1) + "\n"
    (new / "manifest.json").write_text(written, encoding="utf-8")


def _refuse_another_rate(folder: Path, rate: int) -> None:
    """Raise `DataError` if the folder holds a store of another rate, which must not be lost."""
    there = rate
    with contextlib.suppress(OSError, ValueError):  # no store, or a damaged one: it may be replaced
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        there = manifest.get("rate", STANDARD_RATE)
    if there != rate:
        raise DataError(f"{folder} holds ECGs at {there} Hz; name another folder for {rate} Hz")


def _check_row(name: str, row: dict, ids: set[str], split_of: dict[str, str]) -> None:
    if row["ecg_id"] in ids:
        raise DataError(f"{name}: ecg_id {row['ecg_id']} occurs twice; give each ECG its own id")
    ids.add(row["ecg_id"])
    first = split_of.setdefault(row["patient_id"], row["split"])
    if first != row["split"]:
        raise DataError(
            f"{name}: patient {row['patient_id']} is in {first} and in {row['split']}; "
            "put all ECGs of a patient into one split"
        )


def _reasons(reasons: Iterable[str]) -> dict[str, int]:
    """Count reasons, most frequent first; those differing only in lead, file or number are one."""
    groups: dict[str, list[str]] = {}
    for reason in reasons:
        kind = re.sub(r"\S*\d\S*|\baV[RLF]\b|\bI{1,3}\b|,", "#", reason)
        groups.setdefault(kind, []).append(reason)
    named = {
        (g[0] if len(set(g)) == 1 else f"{g[0]} (or similar)"): len(g) for g in groups.values()
    }
    return dict(Counter(named).most_common())


def _replace(folder: Path, new: Path) -> None:
    """Move the finished folder into place and only then delete the older one."""
    old = folder.parent / f".{folder.name}.old-{os.getpid()}"
    if folder.exists():
        os.replace(folder, old)
    os.replace(new, folder)
    shutil.rmtree(old, ignore_errors=True)

"""Write a source into a prepared store, whose files `store` describes."""

from __future__ import annotations

import contextlib
import csv
import glob
import json
import os
import re
import shutil
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ecg_lib.data.not_understood import NotUnderstood
from ecg_lib.data.record import SPLITS, Source
from ecg_lib.data.shards import (
    CHUNK,
    key_of,
    part_signals,
    part_text,
    rate_of,
    read_parts,
    stamps_of,
    write_batches,
)
from ecg_lib.data.store import FORMAT, SCHEMA, ContentHash, EcgStore
from ecg_lib.disk import abandoned, alone, writing
from ecg_lib.errors import DataError
from ecg_lib.sealed import SEAL, checked, damage, seal
from ecg_lib.signal.leads import LEADS
from ecg_lib.signal.resample import STANDARD_RATE


def write_store(
    folder: str | os.PathLike,
    source: Source,
    workers: int = 1,
    chunk: int = CHUNK,
    reuse: bool = False,
) -> EcgStore:
    """Read a source into a store; the content does not depend on the number of workers.

    An interrupted run leaves its finished parts beside `folder`, and the next run continues from
    them, except where a file has changed since. `folder` itself is replaced only after everything
    has been read.

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
        Return the existing store if it came from the same source, version, rate, items and files.

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
    if folder.is_file():
        raise DataError(f"{folder} is a file; name a folder for the store, or remove the file")
    items = source.index()
    with writing(folder), alone(folder, "preparing", warnings.warn):
        _sweep(folder)
        if folder.exists() and any(folder.iterdir()) and not (folder / "manifest.json").exists():
            raise DataError(f"{folder} exists but is not a store; name another folder or remove it")
        _refuse_another_rate(folder, rate_of(source))
        stamps = stamps_of(source, items, chunk)
        key = key_of(source, items, stamps)
        store = _current(folder, key) if reuse else None
        if store is None:
            store = _written(folder, source, items, workers, chunk, stamps, key)
        for leftover in folder.parent.glob(f".{glob.escape(folder.name)}.parts-*"):  # older, too
            shutil.rmtree(leftover)
        return store


def open_whole(folder: str | os.PathLike, cure: str = "prepare it again") -> EcgStore:
    """Open a store after comparing its files with its seal, or an older one with its hash.

    Parameters
    ----------
    cure : str
        What an error says is to be done.

    Raises
    ------
    DataError
        As for `EcgStore.open`, or a file was altered since the store was written.
    """
    sealed = (checked(folder, cure) / SEAL).exists()
    try:
        store = EcgStore.open(folder)
        if not sealed:
            store.verify()
    except (EOFError, KeyError, TypeError, AttributeError) as error:
        told = f"{type(error).__name__}: {error}"
        raise DataError(f"store {folder} is damaged ({told}); {cure}") from error
    return store


def _current(folder: Path, key: str) -> EcgStore | None:
    """Return the store of this key if it is whole; say so if it was altered."""
    if not (folder / "manifest.json").exists():
        return None
    try:
        store = open_whole(folder, "it is prepared again")
    except DataError as error:
        warnings.warn(str(error), stacklevel=4)
        return None
    return store if store.manifest.get("key") == key else None


def _written(
    folder: Path,
    source: Source,
    items: Sequence[Any],
    workers: int,
    chunk: int,
    stamps: Sequence[str],
    key: str,
) -> EcgStore:
    parts_folder = folder.parent / f".{folder.name}.parts-{key_of(source, items)[:12]}"
    new = folder.parent / f".{folder.name}.new-{os.getpid()}"
    shutil.rmtree(new, ignore_errors=True)
    if hasattr(source, "batches"):
        parts = write_batches(parts_folder, source, len(items), chunk)
    else:
        _drop_damaged(parts_folder)
        parts = read_parts(parts_folder, source, items, workers, chunk, stamps)
    new.mkdir(parents=True)
    try:
        _assemble(new, source, parts, key)
        seal(new)
        _replace(folder, new)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return EcgStore.open(folder)


def _sweep(folder: Path) -> None:
    """Remove what killed runs left beside a store; put back the store that one had moved aside."""
    name = glob.escape(folder.name)
    for old in folder.parent.glob(f".{name}.old-*"):
        if not folder.exists() and abandoned(old.name) and not damage(old):
            os.replace(old, folder)
    for kind in ("old", "new"):
        for left in folder.parent.glob(f".{name}.{kind}-*"):
            if abandoned(left.name):
                shutil.rmtree(left)


def _drop_damaged(parts_folder: Path) -> None:
    """Delete part files that cannot be read to their end, so that they are written again."""
    for part in parts_folder.glob("[!.]*.npz"):
        try:
            with zipfile.ZipFile(part) as archive:  # compares each member with its checksum
                whole = not archive.testzip() and len(archive.namelist()) == 2
        except (OSError, zipfile.BadZipFile):
            whole = False
        if not whole:
            warnings.warn(f"{part}: damaged; its records are read again", stacklevel=5)
            shutil.rmtree(part) if part.is_dir() else part.unlink()


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
    rate = rate_of(source)
    digest, at = ContentHash(rate), 0
    odd = NotUnderstood()
    ids: set[str] = set()
    split_of: dict[str, str] = {}
    counts = dict.fromkeys(SPLITS, 0)
    about = {"descr": "<i2", "fortran_order": False, "shape": (total, len(LEADS), samples)}
    with (  # not a memory map: on a full disk, writing to one ends the process without a word
        open(new / "signals.npy", "wb") as signals,
        pq.ParquetWriter(new / "records.parquet", SCHEMA) as table,
    ):
        np.lib.format.write_array_header_1_0(signals, about)
        for path in parts:
            rows = part_text(path)["rows"]
            if not rows:
                continue
            block = part_signals(path)
            for row in rows:
                _check_row(source.name, row, ids, split_of)
                counts[row["split"]] += 1
            if block.shape != (len(rows), len(LEADS), samples):
                raise DataError(
                    f"{source.name}: {rows[0]['ecg_id']} has {block.shape[-1]} samples per lead, "
                    f"others have {samples}; make `read` return the same length for all"
                )
            signals.write(np.ascontiguousarray(block, "<i2").data)
            at += len(block)
            digest.add_signals(block)
            digest.add_rows(rows)
            odd.add(rows)
            table.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
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
    with contextlib.suppress(
        OSError, ValueError, AttributeError
    ):  # no store, or a damaged one: it may be replaced
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

"""Read a source in parts, so that preparation can run in parallel, resume and save memory."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from tqdm import tqdm

from ecg_lib.data.record import EcgRecord, Source
from ecg_lib.errors import BadRecord, DataError
from ecg_lib.files import write_atomically
from ecg_lib.signal.resample import STANDARD_RATE

UNIT_MV = 1e-3  # mV; the stored int16 counts uV
STORABLE_MV = np.iinfo(np.int16).max * UNIT_MV
CHUNK = 500  # records per part


def rate_of(source: Source) -> int:
    """Return the sampling rate of a source's records in Hz."""
    return getattr(source, "rate", STANDARD_RATE)


def rate_mark(rate: int) -> bytes:
    """Return what hashes include for the rate: nothing at 100 Hz, so older hashes stay valid."""
    return b"" if rate == STANDARD_RATE else f"{rate} Hz\n".encode()


def key_of(source: Source, items: Sequence[Any], stamps: Sequence[str] = ()) -> str:
    """Return a hash that identifies a preparation by source, version, rate and all items.

    With `stamps`, as from `stamps_of`, it also identifies the state of the files.
    """
    digest = hashlib.sha256(f"{source.name}\n{source.version}\n".encode())
    digest.update(rate_mark(rate_of(source)))
    for start in range(0, len(items), CHUNK):
        digest.update(json.dumps(items[start : start + CHUNK], default=str).encode())
    if any(stamps):
        digest.update("\n".join(stamps).encode())
    return digest.hexdigest()


def stamps_of(source: Source, items: Sequence[Any], chunk: int = CHUNK) -> list[str]:
    """Return, per part, a hash of the sizes and times of the files its records are read from.

    Empty texts if the source does not name its files. Take the stamps before reading: a file that
    changes in between then has another stamp the next time.
    """
    starts = range(0, len(items), chunk)
    files = getattr(source, "files", None)
    if files is None:
        return [""] * len(starts)
    found = []
    for start in starts:
        digest = hashlib.sha256()
        for item in items[start : start + chunk]:
            for path in files(item):
                digest.update(f"{path}\0{_state(path)}\n".encode())
        found.append(digest.hexdigest()[:16])
    return found


def _state(path: str | os.PathLike) -> str:
    try:
        told = os.stat(path)
    except OSError:
        return "absent"
    return f"{told.st_size} {told.st_mtime_ns}"


def read_parts(
    folder: Path,
    source: Source,
    items: Sequence[Any],
    workers: int,
    chunk: int = CHUNK,
    stamps: Sequence[str] = (),
) -> list[Path]:
    """Read all items into part files in `folder`; parts that exist already are not read again.

    Parts are cut by position, so the result does not depend on `workers`. A part of which a file
    has changed since it was read is read again.

    Parameters
    ----------
    folder : path
    source : Source
    items : sequence
        As returned by `source.index()`.
    workers : int
        Number of joblib processes, safe to use in scripts and notebooks. With `workers=-1`, a
        `joblib.parallel_config(backend="dask")` around the call sends the parts to a cluster.
    chunk : int
        Records per part.
    stamps : sequence of str, optional
        As from `stamps_of`, to save taking them again.

    Returns
    -------
    list of path
        The part files, in the order of `items`.

    Raises
    ------
    DataError
        The source fails on a record with anything but `BadRecord`, or a record has another rate
        than its source.
    """
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, len(items), chunk)
    stamps = stamps or stamps_of(source, items, chunk)
    paths = [
        folder / f"part-{chunk}-{start:08d}{stamp and '-'}{stamp}.npz"
        for start, stamp in zip(starts, stamps, strict=True)
    ]
    todo = [(start, path) for start, path in zip(starts, paths, strict=True) if not path.exists()]
    done = len(items) - sum(len(items[start : start + chunk]) for start, _ in todo)
    jobs = (joblib.delayed(_read_part)(source, items[s : s + chunk], p) for s, p in todo)
    with tqdm(total=len(items), initial=done, desc=source.name, unit="ECG", leave=False) as bar:
        for count in joblib.Parallel(n_jobs=workers, return_as="generator_unordered")(jobs):
            bar.update(count)
    return paths


def write_batches(folder: Path, source: Any, total: int, chunk: int = CHUNK) -> list[Path]:
    """Write part files from `source.batches()`, as `read_parts` does, but always from the start."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    records: list[EcgRecord] = []

    def write() -> None:
        paths.append(folder / f"batch-{len(paths):08d}.npz")
        _write_part(paths[-1], rate_of(source), records)
        records.clear()

    with tqdm(total=total, desc=source.name, unit="ECG", leave=False) as bar:
        for batch in source.batches():
            records += batch
            bar.update(len(batch))
            if len(records) >= chunk:
                write()
    if records:
        write()
    return paths


def part_text(path: Path) -> dict[str, Any]:
    """Return the text of a part.

    Returns
    -------
    dict
        `rows` of records.parquet, `quarantine` (a list of [record, reason]) and `samples` per lead.
    """
    with np.load(path, allow_pickle=False) as part:
        return json.loads(part["text"].tobytes())


def part_signals(path: Path) -> np.ndarray:
    """Return the signals of a part, int16 (n, 12, T) in uV."""
    with np.load(path, allow_pickle=False) as part:
        return part["signals"]


def _read_part(source: Source, items: Sequence[Any], path: Path) -> int:
    records, bad = [], []
    for item in items:
        name = source.item_name(item)
        try:
            records.append(source.read(item))
        except BadRecord as error:
            bad.append([name, str(error)])
        except Exception as error:  # the reader is at fault, not the record: stop and name it
            reason = f"{type(error).__name__}: {error}"
            raise DataError(
                f"{source.name}: reading record {name} failed ({reason}); "
                "check its file and the source's `read`"
            ) from error
    _write_part(path, rate_of(source), records, bad)
    return len(items)


def _write_part(
    path: Path, rate: int, records: Iterable[EcgRecord], bad: Iterable[list[str]] = ()
) -> None:
    kept, bad = [], list(bad)
    for record in records:
        if record.rate != rate:
            raise DataError(
                f"{record.ecg_id} is at {record.rate} Hz, but its source is at {rate} Hz; "
                "make `read` resample it"
            )
        peak = np.abs(record.signal).max()
        if peak <= STORABLE_MV:
            kept.append(record)
        else:  # NaN also ends up here
            bad.append([record.ecg_id, f"reaches {peak:.1f} mV: at most {STORABLE_MV:.1f} fit"])
    signals = np.zeros((0, 12, 0), np.int16)
    if kept:
        stacked = np.stack([record.signal for record in kept])
        signals = np.rint(stacked / UNIT_MV).astype(np.int16)
    rows = [_row(record) for record in kept]
    text = json.dumps({"rows": rows, "quarantine": bad, "samples": signals.shape[-1]})
    packed = np.frombuffer(text.encode(), np.uint8)
    write_atomically(path, lambda temporary: np.savez(temporary, signals=signals, text=packed))


def _row(record: EcgRecord) -> dict[str, Any]:
    """Return a row of records.parquet, with labels and attributes as JSON that anyone can read."""
    return {
        "ecg_id": record.ecg_id,
        "patient_id": record.patient_id,
        "recorded_at": record.recorded_at,
        "age": float(record.age),
        "sex": record.sex,
        "split": record.split,
        "normal": "NORM" in record.labels,
        "severity": float(record.attributes.get("severity", math.nan)),
        "report": record.report,
        "labels": json.dumps(record.labels, default=_plain),
        "attributes": json.dumps(record.attributes, default=_plain),
    }


def _plain(value: Any) -> Any:
    """Convert NumPy scalars and arrays to what JSON can write."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    raise TypeError(
        f"{type(value).__name__} cannot be stored in a record's attributes; "
        "use text, numbers, lists or dictionaries"
    )

"""Records written by hand, so that a header can say what no library would write."""

from pathlib import Path

import numpy as np
from ecg_folders import beats

from ecg_lib.signal.leads import LEADS

COMMENTS = ("Age: 60", "Sex: Male", "Dx: 426783006")


def digital(signal, gain=1000):
    """Return samples as a recorder stores them, 1000 per mV."""
    return np.rint(np.asarray(signal) * gain).astype(int)


def checksum(samples):
    """Return the 16-bit sum that a header states."""
    return int(np.asarray(samples, np.int64).sum().astype(np.int16))


def write_record(
    stem: Path,
    samples=None,
    *,
    fs="500",
    gains="1000/mV",
    names=LEADS,
    form="16",
    head="",
    firsts=None,
    totals=None,
    length=None,
    comments=COMMENTS,
    first_line=None,
    encoding="utf-8",
):
    """Write `stem`.hea and `stem`.dat (16 bit); each field can be overruled as text."""
    samples = digital(beats(500)) if samples is None else np.asarray(samples)
    stem.parent.mkdir(parents=True, exist_ok=True)
    gains = [gains] * len(samples) if isinstance(gains, str) else gains
    forms = [form] * len(samples) if isinstance(form, str) else form
    firsts = [row[0] for row in samples] if firsts is None else firsts
    totals = [checksum(row) for row in samples] if totals is None else totals
    length = samples.shape[1] if length is None else length
    lines = [first_line or f"{stem.name} {len(samples)} {fs} {length}"]
    for k, name in enumerate(names):
        lines.append(f"{stem.name}.dat {forms[k]} {gains[k]} 16 0 {firsts[k]} {totals[k]} 0 {name}")
    lines += [f"#{comment}" for comment in comments]
    stem.with_name(f"{stem.name}.hea").write_bytes(("\n".join(lines) + "\n").encode(encoding))
    raw = head.encode() + samples.T.astype("<i2").tobytes()
    stem.with_name(f"{stem.name}.dat").write_bytes(raw)
    return stem


def write_frames(stem: Path, samples, rate, per_frame, extra=()):
    """Write one .dat per lead in frames, as converters from EDF do; `extra`: signal lines."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{stem.name} {len(samples) + len(extra)} {rate} {samples.shape[1] // per_frame}"]
    for k, row in enumerate(samples):
        file = f"{stem.name}_{k}.dat"
        told = f"1000/mV 16 0 {row[0]} {checksum(row)} 0 {LEADS[k]}"
        lines.append(f"{file} 16x{per_frame} {told}")
        (stem.parent / file).write_bytes(row.astype("<i2").tobytes())
    lines += [f"#{comment}" for comment in COMMENTS]
    text = "\n".join([*lines[: 1 + len(samples)], *extra, *lines[1 + len(samples) :]]) + "\n"
    stem.with_name(f"{stem.name}.hea").write_text(text)
    return stem

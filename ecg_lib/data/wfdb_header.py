"""Read a WFDB header to the letter, so that no rate, gain or unit is filled in by a default.

wfdb puts 250 Hz, 200 units per mV and mV in the place of what a header lacks, drops every letter
that is not ASCII ("µV" becomes "V"), and stops at the first character of a number that it does not
know. Format: https://physionet.org/physiotools/wag/header-5.htm
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from ecg_lib.data.source_files import inside, refuse_denied
from ecg_lib.errors import BadRecord

MV_PER = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "v": 1e3, "nv": 1e-6}  # micro: two signs
_NUMBER = r"\d+\.?\d*|\.\d+"
_INT = r"\d{1,15}"  # what is longer is no size, and Python refuses to read it at all
_RECORD = re.compile(
    rf"(?P<name>[^\s/]+)(?:/(?P<segments>{_INT}))?\s+(?P<channels>{_INT})"
    rf"(?:\s+(?P<rate>[^\s/]+)(?:/\S*)?(?:\s+(?P<samples>{_INT})(?:\s+.*)?)?)?",
    re.ASCII,  # \d is then 0 to 9
)
_SIGNAL = re.compile(
    rf"(?P<file>\S+)\s+(?P<format>{_INT})(?:x(?P<per_frame>{_INT}))?(?::(?P<skew>{_INT}))?"
    rf"(?:\+(?P<offset>{_INT}))?(?:\s+(?P<gain>\S+))?(?:\s+\d+)?(?:\s+(?P<zero>-?{_INT}))?"
    rf"(?:\s+(?P<first>-?{_INT}))?(?:\s+(?P<total>-?{_INT}))?(?:\s+\d+)?"
    r"(?:\s+(?P<name>\S[^\t]*).*)?",
    re.ASCII,
)
_GAIN = re.compile(
    rf"(?P<gain>[+-]?(?:{_NUMBER})(?:e[+-]?\d+)?)(?:\((?P<baseline>[+-]?{_INT})\))?"
    r"(?:/(?P<unit>\S+))?",
    re.ASCII,
)
_SEGMENT = re.compile(rf"(\S+)\s+({_INT})", re.ASCII)
_MOST_BYTES, _MOST_PARTS = 1_000_000, 1_000  # of a header; its signals or segments


@dataclass(frozen=True)
class Channel:
    """One signal line; `first` and `total` are the stated first sample and checksum."""

    name: str
    file: str
    format: str
    per_frame: int
    skew: int  # frames
    offset: int  # bytes
    gain: str
    zero: int
    first: int | None
    total: int | None

    def calibration(self) -> tuple[float, int, float]:
        """Return units per physical unit, the baseline, and the physical unit in mV.

        Raises
        ------
        BadRecord
            The gain is zero, missing or no number, or the unit is not a voltage.
        """
        found = _GAIN.fullmatch(self.gain or "0")
        if not found:
            raise BadRecord(f"lead {self.name}: gain {self.gain[:40]!r} cannot be read")
        gain = float(found["gain"])
        if not gain:
            raise BadRecord(f"lead {self.name}: gain 0 or missing: amplitude not calibrated")
        if not math.isfinite(gain):
            raise BadRecord(f"lead {self.name}: gain {self.gain!r} cannot be read")
        unit = found["unit"] or "mV"  # the format's default
        if unit.lower() not in MV_PER:
            raise BadRecord(f"unit {unit[:40]!r} is not a voltage")
        return gain, int(found["baseline"] or self.zero), MV_PER[unit.lower()]


@dataclass(frozen=True)
class Header:
    """A header: `rate` in frames per second, `samples` in frames (None if not stated)."""

    rate: float
    samples: int | None
    channels: list[Channel]
    segments: list[tuple[str, int]]  # name and frames; empty in a plain record
    comments: list[str]  # without the leading #


def read_header(stem: Path) -> Header:
    """Read the header of a record, given the record's path without suffix.

    Raises
    ------
    BadRecord
        The header is missing, cannot be read, or states no sampling rate.
    """
    path = stem.parent / f"{stem.name}.hea"
    if not is_there(path):
        raise BadRecord("no header file")
    refuse_denied(path)
    lines = [line.strip() for line in re.split(r"[\r\n]+", _text(path))]
    comments = [line.strip(" \t#") for line in lines if line.startswith("#")]
    first, *rest = [line for line in lines if line and not line.startswith("#")] or [""]
    record = _RECORD.fullmatch(first)
    if not record:
        raise BadRecord("header cannot be read")
    for what in ("channels", "segments"):
        if int(record[what] or 0) > _MOST_PARTS:
            raise BadRecord(
                f"header announces {record[what]} {what}, at most {_MOST_PARTS} are read"
            )
    rate = _rate(record["rate"])
    samples = int(record["samples"]) if record["samples"] else None
    if record["segments"]:
        segments = _segments(rest, int(record["segments"]), samples)
        return Header(rate, samples, [], segments, comments)
    channels = [_channel(line) for line in rest]
    for name in {one.file: None for one in channels}:
        _plain(name)
    if not channels or not int(record["channels"]):
        raise BadRecord("header lists no signal")
    if len(channels) != int(record["channels"]):
        raise BadRecord(f"header announces {record['channels']} signals, lists {len(channels)}")
    for one in channels:
        like = next(other for other in channels if other.file == one.file)
        if (one.format, one.offset) != (like.format, like.offset):
            raise BadRecord(f"signals of {one.file} differ in format or byte offset")
    return Header(rate, samples, channels, [], comments)


def files_of(stem: Path, root: Path | None = None) -> list[Path]:
    """Return the files that a record is read from, as far as its header tells.

    The header is opened only if no signal file lies beside it under the record's own name, and not
    if it is a link out of `root`, see `source_files.refuse_outside`.
    """
    there = [path for path in _beside(stem) if is_there(path)]
    if [path.suffix for path in there] != [".hea"] or (root and not inside(root, there[0])):
        return there
    try:
        header = read_header(stem)
    except (BadRecord, OSError):
        return there
    others = sorted({channel.file for channel in header.channels})
    parts = sorted({name for name, _ in header.segments} - {"~", stem.name})
    segments = [path for name in parts for path in _beside(stem.with_name(name))]
    return there + [stem.with_name(name) for name in others] + segments


def is_there(path: Path) -> bool:
    """Return whether a path is a file, and neither a folder nor a pipe nor an impossible name."""
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def _beside(stem: Path) -> list[Path]:
    return [stem.parent / f"{stem.name}.{suffix}" for suffix in ("hea", "dat", "mat")]


def _text(path: Path) -> str:
    if path.stat().st_size > _MOST_BYTES:
        raise BadRecord(f"header is longer than {_MOST_BYTES:,} bytes")
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _rate(text: str | None) -> float:
    if text is None:
        raise BadRecord("no sampling rate in the header")
    if not re.fullmatch(_NUMBER, text, re.ASCII) or not math.isfinite(float(text)):
        raise BadRecord(f"sampling rate {text[:20]!r} in the header cannot be read")
    return float(text)


def _plain(name: str) -> str:
    """Return the name of a file, which must lie in the folder of the header that names it."""
    if Path(name).name != name or name in (".", "..") or "::" in name:
        raise BadRecord(f"header names {name[:60]!r}, which is not in the record's own folder")
    return name


def _channel(line: str) -> Channel:
    found = _SIGNAL.fullmatch(line)
    if not found:
        raise BadRecord("header cannot be read")

    def number(field: str, default: int | None = None) -> int | None:
        return default if found[field] is None else int(found[field])

    return Channel(
        name=(found["name"] or "").strip(),
        file=found["file"],
        format=found["format"],
        per_frame=int(found["per_frame"] or 1),  # 0 stays 0: wfdb refuses it
        skew=number("skew", 0) or 0,
        offset=number("offset", 0) or 0,
        gain=found["gain"] or "",
        zero=number("zero", 0) or 0,
        first=number("first"),
        total=number("total"),
    )


def _segments(lines: list[str], announced: int, samples: int | None) -> list[tuple[str, int]]:
    found = [_SEGMENT.fullmatch(line) for line in lines]
    segments = [(_plain(one[1]), int(one[2])) for one in found if one]
    if len(segments) != len(lines) or len(segments) != announced:
        raise BadRecord("header of a multi-segment record cannot be read")
    if not segments or not segments[0][1]:
        raise BadRecord("multi-segment record of variable layout; join its segments first")
    if samples and samples != sum(length for _, length in segments):
        raise BadRecord("segments do not add up to the length in the header")
    return segments

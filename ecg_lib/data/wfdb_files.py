"""Read one WFDB record (.hea with .dat or .mat) as plain arrays in mV."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import wfdb

from ecg_lib.data.format16 import read_format16, to_physical
from ecg_lib.data.source_files import refuse_denied
from ecg_lib.data.wfdb_header import Channel, Header, is_there, read_header
from ecg_lib.errors import BadRecord
from ecg_lib.knowledge.value_limits import possible
from ecg_lib.signal.leads import LEADS, canonical_name
from ecg_lib.signal.quality import standardise

_BYTES = {"8": 1, "16": 2, "24": 3, "32": 4, "61": 2, "80": 1, "160": 2}  # bytes per sample
_MOST_VALUES = 2**24  # of a recording, all leads: half a gigabyte while it is read
_AGE = re.compile(
    r"(?P<over>>=|≥|>|over|above)?\s*(?P<years>\d+(?:\.\d+)?)\s*(?P<plus>\+)?\s*"
    r"(?:y|yr|yrs|years?|years? old|a|jahre?)?\.?",
    re.ASCII,
)
_SEXES = dict.fromkeys(("f", "female", "w", "woman", "weiblich"), "F")
_SEXES |= dict.fromkeys(("m", "male", "man", "männlich"), "M")


@dataclass(frozen=True)
class Recording:
    """A recording as stored in its file: `signal` (n, T) in mV, lead `names`, `fs` in Hz.

    If the file has any of the twelve leads, its other channels are left out.
    """

    signal: np.ndarray
    names: list[str]
    fs: float
    comments: list[str]  # the header's comment lines, without the leading #

    def standard(self, rate: int, method: str) -> np.ndarray:
        """Return the signal as a store keeps it, see `standardise`."""
        return standardise(self.signal, self.names, self.fs, rate, method=method)


def read_wfdb(stem: Path) -> Recording:
    """Read a record, given its path without suffix.

    A record in frames has the rate of its samples, not of its frames. Segments of a fixed layout
    are joined; a gap between them is NaN. Skewed channels are aligned.

    Raises
    ------
    BadRecord
        The header or signal file is missing, cannot be read or is cut short; a rate or gain is not
        stated; a unit is not a voltage; the samples differ from the first value or the checksum in
        the header; or the leads have different rates.
    """
    header = read_header(stem)
    return _joined(stem, header) if header.segments else _single(stem, header)


def _joined(stem: Path, header: Header) -> Recording:
    """Read the segments of a record one after the other."""
    _refuse_long(len(LEADS) * sum(length for _, length in header.segments))
    parts: list[tuple[int, Recording | None]] = []
    for name, length in header.segments:
        if name == "~":
            parts.append((length, None))
            continue
        try:
            own = read_header(stem.with_name(name))
            if own.segments:
                raise BadRecord("holds segments of its own")
            if own.rate != header.rate:
                raise BadRecord(f"{own.rate:g} Hz, the whole record {header.rate:g} Hz")
            part = _single(stem.with_name(name), own)
        except BadRecord as error:
            raise BadRecord(f"segment {name}: {error}") from error
        if part.signal.shape[-1] != round(length * part.fs / header.rate):
            raise BadRecord(f"segment {name}: not as long as the record's header says")
        parts.append((length, part))
    known = [part for _, part in parts if part]
    if not known:
        raise BadRecord("header lists no signal")
    names, fs = known[0].names, known[0].fs
    if any((part.names, part.fs) != (names, fs) for part in known):
        raise BadRecord("segments differ in their leads or rates")
    gaps = (np.full((len(names), round(n * fs / header.rate)), np.nan) for n, _ in parts)
    blocks = [part.signal if part else gap for gap, (_, part) in zip(gaps, parts, strict=True)]
    return Recording(np.concatenate(blocks, axis=-1), names, fs, header.comments)


def _refuse_long(values: int) -> None:
    """Raise `BadRecord` for a recording that would take more than a gigabyte of memory."""
    if values > _MOST_VALUES:
        raise BadRecord(
            f"recording of {values:,} values is too long, at most {_MOST_VALUES:,} are read"
        )


def _single(stem: Path, header: Header) -> Recording:
    channels = header.channels
    size = 0
    for name in sorted({channel.file for channel in channels}):
        path = stem.parent / name
        if not is_there(path):
            raise BadRecord(f"header without its {path.suffix} file")
        refuse_denied(path)
        size += path.stat().st_size
    _refuse_long(size // 2)
    wanted = [k for k, one in enumerate(channels) if canonical_name(one.name)]
    wanted = wanted or list(range(len(channels)))
    per_frame = channels[wanted[0]].per_frame
    if any(channels[k].per_frame != per_frame for k in wanted):
        raise BadRecord("leads are sampled at different rates")
    scales = [channels[k].calibration() for k in wanted]
    signal = _fast(stem, header, wanted, scales)
    if signal is None:
        signal = _by_wfdb(stem, header, wanted, scales)
    signal *= np.asarray([unit for _, _, unit in scales])[:, None]
    names = [channels[k].name for k in wanted]
    return Recording(signal, names, header.rate * per_frame, header.comments)


def _fast(
    stem: Path, header: Header, wanted: list[int], scales: list[tuple[float, int, float]]
) -> np.ndarray | None:
    """Read a record of format 16 without wfdb; None if only wfdb can read it."""
    stored = read_format16(stem, header)
    if stored is None:
        return None
    digital = stored[wanted]
    _compare(list(digital), [header.channels[k] for k in wanted])
    _check_size(stem, header)
    gains, baselines, _ = zip(*scales, strict=True)
    return to_physical(digital, gains, baselines)


def _by_wfdb(
    stem: Path, header: Header, wanted: list[int], scales: list[tuple[float, int, float]]
) -> np.ndarray:
    """Read a record of any format by wfdb."""
    record = _samples(stem, header)
    chosen = [header.channels[k] for k in wanted]
    _compare([record.e_d_signal[k] for k in wanted], chosen)
    _check_size(stem, header)
    for k, (gain, baseline, _) in zip(wanted, scales, strict=True):
        record.adc_gain[k], record.baseline[k] = gain, baseline
    physical = record.dac(expanded=True, return_res=64)
    return _aligned([physical[k] for k in wanted], [one.skew * one.per_frame for one in chosen])


def _samples(stem: Path, header: Header) -> wfdb.Record:
    """Return wfdb's record with its digital samples as stored, one array per channel."""
    suffix = Path(header.channels[0].file).suffix
    try:
        with _plain_path(stem) as path:
            record = _digital(path, big_endian="61" in {one.format for one in header.channels})
    except Exception as error:  # wfdb raises many types on damaged files
        try:
            with _plain_path(stem) as path:
                wfdb.rdheader(path)
        except Exception:
            raise BadRecord("header cannot be read") from error
        raise BadRecord(f"{suffix} file truncated or corrupt") from error
    for samples, channel in zip(record.e_d_signal, header.channels, strict=True):
        if len(samples) < (header.samples or 0) * channel.per_frame:
            raise BadRecord(f"{suffix} file truncated or corrupt")
    return record


def _digital(path: str, big_endian: bool) -> wfdb.Record:
    record = wfdb.rdrecord(path, physical=big_endian, smooth_frames=False, ignore_skew=True)
    if big_endian:  # wfdb fails to return digital samples of format 61
        of = zip(record.e_p_signal, record.adc_gain, record.baseline, strict=True)
        whole = [np.rint(own * gain + baseline) for own, gain, baseline in of]
        record.e_d_signal = [np.nan_to_num(own, nan=-(2**15)).astype(np.int64) for own in whole]
    return record


@contextmanager
def _plain_path(stem: Path) -> Iterator[str]:
    """Yield a path in which fsspec, through which wfdb opens files, sees no chain of URLs."""
    if "::" not in str(stem.absolute()):
        yield str(stem)
        return
    with TemporaryDirectory() as folder:
        link = Path(folder) / "record"
        link.symlink_to(stem.parent.absolute(), target_is_directory=True)
        yield str(link / stem.name)


def _compare(digital: list[np.ndarray], channels: list[Channel]) -> None:
    """Raise `BadRecord` if the samples are not those that the header was written for."""
    if not any(channel.first or channel.total for channel in channels):
        return  # nothing stated, or zeros for want of values
    for samples, channel in zip(digital, channels, strict=True):
        if channel.first is not None and len(samples) and samples[0] != channel.first:
            raise BadRecord(
                f"lead {channel.name}: first sample is {samples[0]}, {channel.first} in the header"
            )
        total = int(samples.sum(dtype=np.int64))
        if channel.total is not None and (total - channel.total) % 2**16:
            raise BadRecord(f"lead {channel.name}: samples do not fit the checksum in the header")


def _check_size(stem: Path, header: Header) -> None:
    """Raise `BadRecord` for a signal file that is too long, unless checksums vouch for it."""
    for name in {channel.file for channel in header.channels}:
        own = [channel for channel in header.channels if channel.file == name]
        if own[0].format not in _BYTES or any(channel.total for channel in own):
            continue
        frame = _BYTES[own[0].format] * sum(channel.per_frame for channel in own)
        size = (stem.parent / name).stat().st_size - own[0].offset
        if size % frame if header.samples is None else size > header.samples * frame:
            raise BadRecord(f"{Path(name).suffix} file is longer than its header says")


def _aligned(signals: list[np.ndarray], skews: list[int]) -> np.ndarray:
    """Shift each channel back by its skew and cut all to what they share."""
    length = min(len(own) - skew for own, skew in zip(signals, skews, strict=True))
    return np.stack(
        [own[skew : skew + max(length, 0)] for own, skew in zip(signals, skews, strict=True)]
    )


def comment_value(comments: list[str], field: str) -> str:
    """Return the value of a `field: value` comment line, ignoring case; "" if there is none."""
    for line in comments:
        name, colon, value = line.strip().strip("#").partition(":")
        if colon and name.strip().strip("<>").lower() == field.lower():
            return value.strip()
    return ""


def age_of(text: str | float) -> float:
    """Parse an age in years: 60, "60y", "060Y"; ">89" and "90+", which mask an age, count as 90.

    Text that is no age within the limits of value_limits.csv is unknown (NaN).
    """
    found = _AGE.fullmatch(str(text).strip().lower())
    if not found or (found["over"] and found["plus"]):
        return math.nan
    return possible("age", float(found["years"]) + (found["over"] in (">", "over", "above")))


def sex_of(text: str | float) -> str:
    """Return F or M for "Female", "f", "MALE" and the like; "" if unknown."""
    return _SEXES.get(str(text).strip().strip(".").lower(), "")

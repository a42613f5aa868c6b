"""Read a WFDB signal file of 16-bit samples, the format of nearly all public 12-lead ECGs.

wfdb reads the header anew for each record and takes most of its time for that. `wfdb_files` has
read the header already, so in the common case only the samples are missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ecg_lib.data.wfdb_header import Header

_INVALID = -(2**15)  # the value that format 16 keeps for a missing sample


def read_format16(stem: Path, header: Header) -> np.ndarray | None:
    """Return the samples as stored, (n, T) int16.

    None if wfdb must read the record: another format, several files, channels that are skewed or
    have several samples per frame, a length that the header does not state, or a file that is cut
    short.
    """
    first = header.channels[0]
    if not header.samples or first.format != "16":
        return None
    if any((one.file, one.per_frame, one.skew) != (first.file, 1, 0) for one in header.channels):
        return None
    count = header.samples * len(header.channels)
    path = stem.parent / first.file
    if path.stat().st_size < first.offset + 2 * count:
        return None
    samples = np.fromfile(path, "<i2", count, offset=first.offset)
    return samples.reshape(header.samples, -1).T


def to_physical(
    digital: np.ndarray, gains: Sequence[float], baselines: Sequence[int]
) -> np.ndarray:
    """Return samples (n, T) in their physical units, float64; missing ones are NaN."""
    physical = digital.astype(np.float64)
    physical -= np.asarray(baselines)[:, None]
    with np.errstate(over="ignore"):  # a gain of 1e-308 gives infinite voltages, refused later
        physical /= np.asarray(gains)[:, None]
    physical[digital == _INVALID] = np.nan
    return physical

"""Read one WFDB record (.hea with .dat or .mat) as plain arrays in mV."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import wfdb

from ecg_lib.errors import BadRecord
from ecg_lib.knowledge.value_limits import possible
from ecg_lib.signal.quality import standardise

_AGE = re.compile(
    r"(?P<over>>=|≥|>|over|above)?\s*(?P<years>\d+(?:\.\d+)?)\s*(?P<plus>\+)?\s*"
    r"(?:y|yr|yrs|years?|years? old|a|jahre?)?\.?"
)
_SEXES = dict.fromkeys(("f", "female", "w", "woman", "weiblich"), "F")
_SEXES |= dict.fromkeys(("m", "male", "man", "männlich"), "M")
_MV_PER = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "v": 1e3}


@dataclass(frozen=True)
class Recording:
    """A recording as stored in its file: `signal` (n, T) in mV, lead `names`, `fs` in Hz."""

    signal: np.ndarray
    names: list[str]
    fs: float
    comments: list[str]  # the header's comment lines, without the leading #

    def standard(self, rate: int, method: str) -> np.ndarray:
        """Return the signal as a store keeps it, see `standardise`."""
        return standardise(self.signal, self.names, self.fs, rate, method=method)


def read_wfdb(stem: Path) -> Recording:
    """Read a record, given its path without suffix.

    Raises
    ------
    BadRecord
        The header or signal file is missing, cannot be read or is cut short, or a unit is not a
        voltage.
    """
    header = stem.with_name(stem.name + ".hea")
    if not header.is_file():
        raise BadRecord("no header file")
    try:
        head = wfdb.rdheader(str(stem))
    except Exception as error:  # wfdb raises many types on a damaged header
        raise BadRecord("header cannot be read") from error
    for name in sorted(set(head.file_name or [])):
        if not (stem.parent / name).is_file():
            raise BadRecord(f"header without its {Path(name).suffix} file")
    if not head.n_sig or not head.file_name:
        raise BadRecord("header lists no signal")
    try:
        record = wfdb.rdrecord(str(stem), return_res=64)
    except Exception as error:  # likewise for a damaged signal file
        raise BadRecord(f"{Path(head.file_name[0]).suffix} file truncated or corrupt") from error
    signal = record.p_signal.T
    if head.sig_len and signal.shape[-1] < head.sig_len:
        raise BadRecord(f"{Path(head.file_name[0]).suffix} file truncated or corrupt")
    scale = [_MV_PER.get(str(unit).strip().lower()) for unit in record.units]
    if None in scale:
        raise BadRecord(f"unit {record.units[scale.index(None)]!r} is not a voltage")
    signal = signal * np.asarray(scale)[:, None]
    return Recording(signal, list(record.sig_name), float(record.fs), list(record.comments))


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

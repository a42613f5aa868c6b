"""Read MIMIC-IV-ECG, about 800,000 ECGs with machine reports, in its PhysioNet layout.

Gow et al., https://doi.org/10.13026/4nqg-sb35; access needs a PhysioNet account.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ecg_lib.data.folders import locate
from ecg_lib.data.record import SPLITS, EcgRecord, Rows
from ecg_lib.data.report_findings import read_findings
from ecg_lib.data.wfdb_files import read_wfdb
from ecg_lib.errors import BadRecord, DataError
from ecg_lib.knowledge.label_maps import maps_version
from ecg_lib.signal.resample import STANDARD_RATE

TABLE = "record_list.csv"
REPORTS = [f"report_{i}" for i in range(18)]
FEWEST_WORDS = 3  # paper: empty reports and those under three words are dropped
_TIMES = ["rr_interval", "p_onset", "p_end", "qrs_onset", "qrs_end", "t_end", "qrs_axis"]
_ABSENT = 29999  # the machine's value for "not measured"


class MimicIvEcg:
    """Source of MIMIC-IV-ECG, completely or partly downloaded.

    Labels are read from the report with the phrases in label_maps.csv. Patients are assigned to
    splits by a hash of their id, so a patient's split never depends on which files are on disk.

    Parameters
    ----------
    root : str or path
        The folder with record_list.csv, machine_measurements.csv and files/, or one above it.
    shares : tuple of 3 float
        Fractions of patients in train, valid and test.
    rate : int, Hz
        Sampling rate of the records.
    method : {"fft", "polyphase"}
        Resampler, see `signal.resample`.
    """

    NAME, SIGNATURE = "mimic_iv_ecg", TABLE
    name = "mimic-iv-ecg"

    def __init__(
        self,
        root: str | os.PathLike,
        shares: tuple[float, float, float] = (0.8, 0.1, 0.1),
        rate: int = STANDARD_RATE,
        method: str = "fft",
    ):
        if min(shares) < 0 or not math.isclose(sum(shares), 1):
            raise ValueError(
                f"shares of train, valid and test are {shares}; give shares from 0 that sum to 1"
            )
        self.root = locate(root, TABLE, "MIMIC-IV-ECG")
        self.shares, self.rate, self.method = tuple(shares), rate, method
        self.version = f"1.0; {method}; split {self.shares}; maps {maps_version()}"
        self.not_at_hand = 0

    def index(self) -> Rows:
        """Return one item per recording whose files are on disk."""
        records = self._read_csv(TABLE, ["subject_id", "study_id", "ecg_time", "path"])
        measured = self._read_csv("machine_measurements.csv", ["study_id", *REPORTS, *_TIMES])
        table = records.merge(measured, on="study_id", how="left", validate="one_to_one")
        here = [
            (self.root / f"{path}.hea").exists() or (self.root / f"{path}.dat").exists()
            for path in table["path"]
        ]
        if not any(here):
            raise DataError(
                f"MIMIC-IV-ECG: {self.root / TABLE} lists {len(table):,} ECGs but none "
                "of their files is under files/; download them into this folder"
            )
        self.not_at_hand = len(here) - sum(here)
        table[REPORTS] = table[REPORTS].fillna("").astype(str)
        return Rows(table[here].reset_index(drop=True))

    def item_name(self, item: dict[str, Any]) -> str:
        """Return the `ecg_id` of an item."""
        return f"mimic-iv-ecg/{item['study_id']}"

    def read(self, item: dict[str, Any]) -> EcgRecord:
        """Read one record, see `record.Source`."""
        statements = clean_statements([item[column] for column in REPORTS])
        report = ". ".join(statements) + "."
        if len(report.split()) < FEWEST_WORDS:
            raise BadRecord("report under three words")
        recording = read_wfdb(self.root / item["path"])
        found = read_findings(statements)
        patient = str(item["subject_id"])
        return EcgRecord(
            ecg_id=self.item_name(item),
            patient_id=patient,
            signal=recording.standard(self.rate, self.method),
            recorded_at=str(item["ecg_time"]).replace(" ", "T"),
            labels=found.labels,
            report=report,
            split=split_of(patient, self.shares),
            attributes=found.attributes | _measurements(item),
            rate=self.rate,
        )

    def _read_csv(self, name: str, columns: list[str]) -> pd.DataFrame:
        path = self.root / name
        if not path.is_file():
            raise DataError(f"MIMIC-IV-ECG: no {name} in {self.root}; download it into this folder")
        head = pd.read_csv(path, nrows=0)
        missing = [column for column in columns if column not in head]
        if missing:
            raise DataError(f"MIMIC-IV-ECG: {path} has no column {missing[0]}; use version 1.0")
        texts = dict.fromkeys(set(columns) & {*REPORTS, "path", "ecg_time"}, "string[pyarrow]")
        return pd.read_csv(path, usecols=columns, dtype=texts)


def split_of(patient_id: str, shares: Sequence[float]) -> str:
    """Assign a patient to train, valid or test by a hash of the id, and by nothing else."""
    place = int(hashlib.sha256(patient_id.encode()).hexdigest()[:12], 16) / 16**12
    if place < shares[0]:
        return SPLITS[0]
    return SPLITS[1] if place < shares[0] + shares[1] else SPLITS[2]


def clean_statements(statements: list[str]) -> list[str]:
    """Clean the machine's statements in the usual way; the tokeniser takes care of case.

    Empty and repeated statements are dropped, white space and final full stops are trimmed, and
    EKG becomes ECG.
    """
    cleaned = (re.sub(r"\bEKG\b", "ECG", " ".join(s.split()).strip(" .;")) for s in statements)
    return list(dict.fromkeys(text for text in cleaned if text))


def _measurements(item: dict[str, Any]) -> dict[str, Any]:
    """Return the machine's intervals (s), and its axis in the classes of ECG-QA."""
    at = {name: item[name] for name in _TIMES}
    at = {n: float(v) for n, v in at.items() if pd.notna(v) and 0 <= abs(v) < _ABSENT}

    def span(start: str, end: str) -> float | None:
        ok = start in at and end in at and at[end] > at[start]
        return round((at[end] - at[start]) / 1000, 4) if ok else None

    rr = at["rr_interval"] / 1000 if at.get("rr_interval", 0) > 0 else None
    qt = span("qrs_onset", "t_end")
    intervals = {
        "rr interval": rr,
        "p duration": span("p_onset", "p_end"),
        "pr interval": span("p_onset", "qrs_onset"),
        "qrs duration": span("qrs_onset", "qrs_end"),
        "qt interval": qt,
        "qt corrected": round(qt / math.sqrt(rr), 4) if qt and rr else None,  # Bazett
    }
    measured: dict[str, Any] = {"intervals": {k: v for k, v in intervals.items() if v is not None}}
    if abs(at.get("qrs_axis", 999)) <= 180:
        measured["heart_axis"] = _axis_name(at["qrs_axis"])
    return measured


def _axis_name(degrees: float) -> str:
    if -30 <= degrees <= 90:
        return "normal heart axis"
    if degrees > 90:
        return "right axis deviation"
    return "left axis deviation" if degrees >= -90 else "extreme axis deviation"

"""Read MIMIC-IV-ECG, about 800,000 ECGs with machine reports, in its PhysioNet layout.

Gow et al., https://doi.org/10.13026/4nqg-sb35; access needs a PhysioNet account.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ecg_lib.data.folders import locate
from ecg_lib.data.record import SPLITS, EcgRecord, Rows
from ecg_lib.data.report_findings import read_findings
from ecg_lib.data.source_files import read_source_table, refuse_outside
from ecg_lib.data.table_cells import identifier, once, refuse_contradiction, unread_cell
from ecg_lib.data.wfdb_files import read_wfdb
from ecg_lib.data.wfdb_header import files_of, is_there
from ecg_lib.errors import BadRecord, DataError
from ecg_lib.knowledge.label_maps import maps_version
from ecg_lib.knowledge.value_limits import number, possible
from ecg_lib.signal.resample import STANDARD_RATE

TABLE, MEASUREMENTS = "record_list.csv", "machine_measurements.csv"
_MEASURED = " of the machine"  # end of a column's name that both tables have
REPORTS = [f"report_{i}" for i in range(18)]
FEWEST_WORDS = 3  # paper: empty reports and those under three words are dropped
_SHOWN = 200  # characters of a statement that was not understood
_TIMES = ["rr_interval", "p_onset", "p_end", "qrs_onset", "qrs_end", "t_end"]


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
    CREDENTIALED = True  # no id, date or report may stand in a result, see `data.credentialed`
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
        measured = self._read_csv(MEASUREMENTS, ["study_id", *REPORTS, *_TIMES, "qrs_axis"])
        table = once(records, "study_id", "path").merge(
            once(measured, "study_id"), on="study_id", how="left", suffixes=("", _MEASURED)
        )
        here = [
            is_there(self.root / f"{path}.hea") or is_there(self.root / f"{path}.dat")
            for path in table["path"]
        ]
        if not any(here):
            raise DataError(
                f"MIMIC-IV-ECG: {self.root / TABLE} lists {len(table):,} ECGs but none "
                "of their files is under files/; download them into this folder"
            )
        self.not_at_hand = len(here) - sum(here)
        texts = [*REPORTS, "subject_id", "ecg_time"]
        table[texts] = table[texts].fillna("").astype(str)
        return Rows(table[here].reset_index(drop=True))

    def item_name(self, item: dict[str, Any]) -> str:
        """Return the `ecg_id` of an item."""
        return f"mimic-iv-ecg/{item['study_id']}"

    def files(self, item: dict[str, Any]) -> list[Path]:
        """Return the files of an item, see `record.Source`."""
        return files_of(self.root / item["path"], self.root)

    def read(self, item: dict[str, Any]) -> EcgRecord:
        """Read one record, see `record.Source`."""
        refuse_contradiction(item, TABLE)
        refuse_contradiction({"contradicted": item["contradicted" + _MEASURED]}, MEASUREMENTS)
        if not item["subject_id"]:
            raise BadRecord(f"no subject_id in {TABLE}")
        statements = clean_statements([item[column] for column in REPORTS])
        report = ". ".join(statements) + "."
        if len(report.split()) < FEWEST_WORDS:
            raise BadRecord("report under three words")
        refuse_outside(self.root, self.files(item))
        recording = read_wfdb(self.root / item["path"])
        found = read_findings(statements)
        if len(found.unread) == len(statements):
            raise BadRecord("no statement of the report is understood")
        unread = [f"report: {text[:_SHOWN]}" for text in found.unread]
        for name in (*_TIMES, "qrs_axis"):
            unread += unread_cell(name, item[name], number(item[name]))
        attributes = found.attributes | _measurements(item)
        patient = item["subject_id"]
        return EcgRecord(
            ecg_id=self.item_name(item),
            patient_id=patient,
            signal=recording.standard(self.rate, self.method),
            recorded_at=item["ecg_time"].replace(" ", "T"),
            labels=found.labels,
            report=report,
            split=split_of(patient, self.shares),
            attributes=attributes | ({"unread": unread} if unread else {}),
            rate=self.rate,
        )

    def _read_csv(self, name: str, columns: list[str]) -> pd.DataFrame:
        table = read_source_table(
            *(self.root / name, self.root, "MIMIC-IV-ECG", columns),
            usecols=lambda column: column.strip() in columns,
            dtype="string[pyarrow]",
        )
        for column in ("study_id", "subject_id"):
            if column in table:
                table[column] = [identifier(cell) for cell in table[column]]
        if "path" in table:  # its last part is the study
            named = [str(path).rpartition("/")[2] for path in table["path"]]
            table["study_id"] = table["study_id"].where(table["study_id"] != "", named)
        return table[table["study_id"] != ""]


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
    """Return the machine's intervals (s), and its axis in the classes of ECG-QA.

    Values beyond the limits of value_limits.csv are absent, among them the machine's 29999 and
    65535 for "not measured".
    """
    at = {name: possible("machine time", item[name]) for name in _TIMES}

    def span(start: str, end: str) -> float:
        return round((at[end] - at[start]) / 1000, 4)

    intervals = {
        "rr interval": at["rr_interval"] / 1000,
        "p duration": span("p_onset", "p_end"),
        "pr interval": span("p_onset", "qrs_onset"),
        "qrs duration": span("qrs_onset", "qrs_end"),
        "qt interval": span("qrs_onset", "t_end"),
    }
    intervals = {name: possible(name, value) for name, value in intervals.items()}
    bazett = intervals["qt interval"] / math.sqrt(intervals["rr interval"])
    intervals["qt corrected"] = possible("qt corrected", round(bazett, 4))
    measured: dict[str, Any] = {
        "intervals": {name: value for name, value in intervals.items() if not math.isnan(value)}
    }
    axis = possible("heart axis", item["qrs_axis"])
    if not math.isnan(axis):
        measured["heart_axis"] = _axis_name(axis - 360 if axis > 180 else axis)
    return measured


def _axis_name(degrees: float) -> str:
    if -30 <= degrees <= 90:
        return "normal heart axis"
    if degrees > 90:
        return "right axis deviation"
    return "left axis deviation" if degrees >= -90 else "extreme axis deviation"

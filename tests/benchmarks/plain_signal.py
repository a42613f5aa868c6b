"""The plain way to read ECGs: open the file, resample and scale at every access, one by one."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import wfdb
from scipy.signal import resample

from ecg_lib.data.record import EcgRecord
from ecg_lib.data.wfdb_files import read_wfdb
from ecg_lib.signal.leads import LEADS

RATE = 100  # Hz
SECONDS = 10  # s


def read_ecg(stem: Path) -> np.ndarray:
    """Read a file and resample its first 10 s: (12, 1000) float64, mV."""
    signal, header = wfdb.rdsamp(str(stem))  # (T, 12) mV
    signal = signal.T[[header["sig_name"].index(lead) for lead in LEADS]]
    return resample(signal[:, : SECONDS * header["fs"]], SECONDS * RATE, axis=-1)


def model_input(stem: Path) -> np.ndarray:
    """Read a file and scale each lead to [-1, 1]: (12, 1000) float32."""
    signal = read_ecg(stem)
    low, high = signal.min(axis=1, keepdims=True), signal.max(axis=1, keepdims=True)
    return (2 * (signal - low) / (high - low) - 1).astype(np.float32)


def prepare_one_by_one(stems: Sequence[Path], folder: Path) -> None:
    """Resample files one by one; write one array per ECG and one line per ECG of a table."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "records.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        for stem in stems:
            np.save(folder / f"{stem.name}.npy", read_ecg(stem).astype(np.float32))
            table.writerow([stem.name, f"patient-{stem.name}"])


def prepare_drawn(records: Iterable[EcgRecord], folder: Path) -> None:
    """Write ECGs as they are drawn: one array per ECG and one line per ECG of a table."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "records.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        for number, record in enumerate(records):
            np.save(folder / f"{number:06d}.npy", record.signal)
            labels, attributes = json.dumps(record.labels), json.dumps(record.attributes)
            table.writerow([record.ecg_id, record.patient_id, record.report, labels, attributes])


class Files:
    """The same files as a source of the library, read with all its checks."""

    name, version, rate = "files", "1", RATE

    def __init__(self, stems: Sequence[Path]):
        self.stems = stems

    def index(self) -> list[int]:
        return list(range(len(self.stems)))

    def item_name(self, item: int) -> str:
        return f"files/{self.stems[item].name}"

    def files(self, item: int) -> list[Path]:
        return [self.stems[item].with_suffix(suffix) for suffix in (".hea", ".dat")]

    def read(self, item: int) -> EcgRecord:
        signal = read_wfdb(self.stems[item]).standard(self.rate, "fft")
        return EcgRecord(self.item_name(item), f"patient-{self.stems[item].name}", signal)

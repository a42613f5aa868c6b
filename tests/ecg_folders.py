"""Small data sets in the exact layout of the published ones, for tests of the data sources."""

from pathlib import Path

import numpy as np
import pandas as pd
import wfdb

from ecg_lib.data.sources.mimic_iv_ecg import REPORTS
from ecg_lib.signal.leads import LEADS

MIMIC_ORDER = ["I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6"]


def beats(fs=500, seconds=10, seed=0):
    """Return a plain 12-lead ECG (12, T) in mV: one QRS per second, leads scaled, I + III = II."""
    t = np.arange(round(fs * seconds)) / fs
    wave = np.exp(-(((t % 1) - 0.5) ** 2) / (2 * 0.02**2))
    one, three = wave, 0.4 * wave
    two = one + three
    limb = [one, two, three, -(one + two) / 2, (one - three) / 2, (two + three) / 2]
    chest = [scale * wave for scale in (-0.6, -0.3, 0.5, 1.2, 1.1, 0.8)]
    noise = np.random.default_rng(seed).normal(0, 0.01, (6, t.size))
    return np.concatenate([np.stack(limb), np.stack(chest) + noise])


def write_wfdb(stem: Path, signal, names=LEADS, fs=500, comments=(), suffix="dat"):
    """Write `stem`.hea and its .dat or .mat file (int16, 1000 per mV)."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        stem.name,
        fs=fs,
        units=["mV"] * len(names),
        sig_name=list(names),
        p_signal=np.asarray(signal).T,
        fmt=["16"] * len(names),
        adc_gain=[1000.0] * len(names),
        baseline=[0] * len(names),
        comments=list(comments),
        write_dir=str(stem.parent),
    )
    if suffix == "mat":  # WFDB skips the first 24 bytes of a .mat file
        raw = stem.with_suffix(".dat").read_bytes()
        stem.with_suffix(".mat").write_bytes(bytes(24) + raw)
        stem.with_suffix(".dat").unlink()
        header = stem.with_suffix(".hea").read_text()
        header = header.replace(f"{stem.name}.dat 16 ", f"{stem.name}.mat 16+24 ")
        stem.with_suffix(".hea").write_text(header)


def ptbxl_row(ecg_id, patient_id, **fields):
    """Return one row of ptbxl_database.csv."""
    folder = f"{ecg_id // 1000 * 1000:05d}/{ecg_id:05d}"
    row = dict.fromkeys(
        ["heart_axis", "infarction_stadium1", "infarction_stadium2", "baseline_drift"]
        + ["static_noise", "burst_noise", "electrodes_problems", "extra_beats"]
    )
    return row | {
        "ecg_id": ecg_id,
        "patient_id": float(patient_id),
        "age": 56.0,
        "sex": 1,
        "recording_date": "1984-11-09 09:17:34",
        "report": "sinusrhythmus  normales ekg",
        "scp_codes": "{'NORM': 100.0, 'SR': 0.0}",
        "validated_by_human": True,
        "strat_fold": 3,
        "filename_lr": f"records100/{folder}_lr",
        "filename_hr": f"records500/{folder}_hr",
        **fields,
    }


def write_ptbxl(root: Path, rows, rate=100, signals=None):
    """Write a PTB-XL folder with these rows and a waveform for each (`signals`: ecg_id -> mV)."""
    root.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(root / "ptbxl_database.csv", index=False)
    for row in rows:
        stem = root / row["filename_lr" if rate == 100 else "filename_hr"]
        signal = signals[row["ecg_id"]] if signals else beats(rate, seed=row["ecg_id"])
        write_wfdb(stem, signal, [n.upper() for n in LEADS], rate)
    return root


def write_mimic(root, reports, absent=(), signals=None):
    """Write MIMIC-IV-ECG: two ECGs per patient, at 500 Hz, with aVF before aVL.

    `reports`: study id -> statements; `absent`: studies that are listed but have no files;
    `signals`: study id -> mV, in the order of LEADS.
    """
    root.mkdir(parents=True, exist_ok=True)
    records, measured = [], []
    for number, (study, statements) in enumerate(reports.items()):
        subject = 10000032 + number // 2
        path = f"files/p{str(subject)[:4]}/p{subject}/s{study}/{study}"
        time = f"2180-07-23 08:{(40 + number) % 60:02d}:00"
        shared = {"subject_id": subject, "study_id": study, "ecg_time": time}
        records.append(shared | {"file_name": study, "path": path})
        row = shared | {"cart_id": 6848296} | dict.fromkeys(REPORTS)
        row |= {f"report_{i}": text for i, text in enumerate(statements)}
        row |= {"rr_interval": 800, "p_onset": 40, "p_end": 140, "qrs_onset": 200, "qrs_end": 290}
        measured.append(row | {"t_end": 600, "p_axis": 29999, "qrs_axis": -47, "t_axis": 41})
        if study not in absent:
            signal = np.asarray(signals[study] if signals else beats(500, seed=study))
            rows = [LEADS.index(name) for name in MIMIC_ORDER]
            write_wfdb(root / path, signal[rows], MIMIC_ORDER)
    pd.DataFrame(records).to_csv(root / "record_list.csv", index=False)
    pd.DataFrame(measured).to_csv(root / "machine_measurements.csv", index=False)
    return root


def write_challenge(root, records, suffix="mat", signals=None):
    """Write the 2021 challenge.

    `records`: "source/[gN/]name" -> Dx line; `signals`: the same names -> mV.
    """
    for path, dx in records.items():
        comments = ["Age: 74", "Sex: Male", f"Dx: {dx}", "Rx: Unknown"]
        signal = signals[path] if signals else beats(500)
        write_wfdb(root / "training" / path, signal, comments=comments, suffix=suffix)
    return root


class Listed:
    """A source backed by a dictionary of EcgRecord or BadRecord; at module level for pickling."""

    name, version = "listed", "1"

    def __init__(self, records):
        self.records = records

    def index(self):
        return list(self.records)

    def item_name(self, item):
        return item

    def read(self, item):
        found = self.records[item]
        if isinstance(found, Exception):
            raise found
        return found

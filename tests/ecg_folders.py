"""Small data sets in the exact layout of the published ones, for the readers' tests."""

from pathlib import Path

import numpy as np
import pandas as pd
import wfdb

from ecg_lib.signal.leads import LEADS


def beats(fs=500, seconds=10, seed=0):
    """A plain 12-lead ECG in mV (12, T): one QRS a second, leads scaled apart, I + III = II."""
    t = np.arange(round(fs * seconds)) / fs
    wave = np.exp(-(((t % 1) - 0.5) ** 2) / (2 * 0.02**2))
    one, three = wave, 0.4 * wave
    two = one + three
    limb = [one, two, three, -(one + two) / 2, (one - three) / 2, (two + three) / 2]
    chest = [scale * wave for scale in (-0.6, -0.3, 0.5, 1.2, 1.1, 0.8)]
    noise = np.random.default_rng(seed).normal(0, 0.01, (6, t.size))
    return np.concatenate([np.stack(limb), np.stack(chest) + noise])


def write_wfdb(stem: Path, signal, names=LEADS, fs=500, comments=(), suffix="dat"):
    """Write `stem`.hea and .dat (int16, 1000/mV)."""
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
    if suffix == "mat":  # WFDB reads a .mat by its offset: 24 bytes before the samples
        raw = stem.with_suffix(".dat").read_bytes()
        stem.with_suffix(".mat").write_bytes(bytes(24) + raw)
        stem.with_suffix(".dat").unlink()
        header = stem.with_suffix(".hea").read_text()
        header = header.replace(f"{stem.name}.dat 16 ", f"{stem.name}.mat 16+24 ")
        stem.with_suffix(".hea").write_text(header)


def ptbxl_row(ecg_id, patient_id, **fields):
    """One row of ptbxl_database.csv."""
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


def write_ptbxl(root: Path, rows, rate=100):
    """A PTB-XL folder with the given rows and a waveform of each."""
    root.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(root / "ptbxl_database.csv", index=False)
    for row in rows:
        stem = root / row["filename_lr" if rate == 100 else "filename_hr"]
        write_wfdb(stem, beats(rate, seed=row["ecg_id"]), [n.upper() for n in LEADS], rate)
    return root


class Listed:
    """A source over a dictionary of name -> EcgRecord or BadRecord (module level: picklable)."""

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

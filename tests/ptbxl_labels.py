"""PTB-XL labels of the ECGs in ECG-QA, joined from the available tables; no signals."""

import ast
from functools import cache
from pathlib import Path

import pandas as pd

from ecg_lib.knowledge.findings import FINDINGS

# MERL's names for PTB-XL codes. It groups some diagnostic codes, so their labels are incomplete.
RENAMED = {"STD": "STD_", "NT": "NT_", "STE": "STE_", "NST": "NST_", "TAB": "TAB_", "ISC": "ISC_"}
GROUPED = {"AMI", "IMI", "STTC", "AVB", "ISCI", "ISCA", "LAFB/LPFB"}
STANDS_FOR = {"STTC": "NDT", "AVB": "1AVB", "ISCI": "ISCIN", "ISCA": "ISCAN", "LAFB/LPFB": "LAFB"}
KINDS = ("sub_class", "form", "rhythm")


@cache
def ptbxl_records(data: Path) -> pd.DataFrame:
    """Return split, patient and labels of ECG-QA's 16,054 ECGs.

    Labels have likelihoods where the PTB-XL metadata of the ECG are available. `recorded_at` is
    the number of the ECG, which PTB-XL assigned in order of recording.
    """
    parts = [
        pd.concat(pd.read_csv(f) for f in sorted((data / "splits" / "ptbxl" / kind).glob("*.csv")))
        for kind in KINDS
    ]
    patient, codes = {}, {}
    for part in parts:
        patient |= dict(zip(part.ecg_id, part.patient_id, strict=True))
        for code in part.columns[6:]:
            name = RENAMED.get(code, STANDS_FOR.get(code, code))
            if name not in FINDINGS.index:
                continue
            for ecg in part.ecg_id[part[code] == 1]:
                if code != "STTC" or ecg not in codes or len(codes[ecg]) == 0:
                    codes.setdefault(ecg, {})[name] = 100.0
    stated = pd.read_csv(data / "ptbxl" / "ptbxl_database.csv").set_index("ecg_id").scp_codes
    rows = []
    for split in ("train", "valid", "test"):
        listed = pd.read_csv(data / "ecg-qa" / "ptbxl" / f"{split}_ecgs.tsv", sep="\t", header=None)
        for ecg in listed[1].astype(int):
            labels = codes.get(ecg, {})
            if ecg in stated.index:
                own = ast.literal_eval(stated[ecg])
                labels = {c: float(p) for c, p in own.items() if c in FINDINGS.index}
            rows.append((f"ptbxl/{ecg:05d}", patient[ecg], f"{ecg:05d}", split, labels))
    table = pd.DataFrame(rows, columns=["ecg_id", "patient_id", "recorded_at", "split", "labels"])
    table["normal"] = table.labels.map(lambda held: "NORM" in held)
    table["attributes"] = [{} for _ in range(len(table))]
    return table


def complete_codes(data: Path) -> set[str]:
    """Return the codes that the available tables state for every ECG."""
    named = set()
    for kind in KINDS:
        first = next((data / "splits" / "ptbxl" / kind).glob("*.csv"))
        named |= set(pd.read_csv(first, nrows=1).columns[6:]) - GROUPED
    return {RENAMED.get(code, code) for code in named} & set(FINDINGS.index)

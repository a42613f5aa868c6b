"""Small published label files in the layout of MERL's, and a set that names them."""

from pathlib import Path

import numpy as np
import pandas as pd

from ecg_lib.data.store import EcgStore
from ecg_lib.evaluation.released_files import ENDINGS

SET = """
title: Small
cohorts: [ptbxl]
split: {strat_fold: [10]}
valid: [9]
stated: true
minimum: null
means: [1, 10]
released: {files: small/small, record: ecg_id, cohorts: [ptbxl]}
labels:
  A: {codes: [AFIB], prompts: [atrial fibrillation]}
  AB: {codes: [AFLT], prompts: [atrial flutter]}
  C: {codes: [SR], prompts: [sinus rhythm]}
"""
LABELS = ["A", "AB", "C"]
# record -> (split, cells of A, AB, C)
LISTED = {
    1: ("train", (1, 0, 0)),
    2: ("train", (0, 1, 0)),
    3: ("train", (0, 0, 1)),
    4: ("valid", (1, 0, 1)),
    5: ("test", (1, 0, 0)),
    6: ("test", (0, 1, 0)),
    70: ("test", (0, 0, 1)),
}


def write_set(folder: Path, text: str = SET) -> Path:
    """Write the set's file, small.yaml."""
    (folder / "small.yaml").write_text(text)
    return folder / "small.yaml"


def write_files(folder: Path, orders=None, listed=None, codes=None) -> Path:
    """Write small/small_{train,val,test}.csv.

    `orders`: split -> order of the label columns; `codes`: record -> cell of a column `diagnose`.
    """
    (folder / "small").mkdir(parents=True, exist_ok=True)
    for split, ending in ENDINGS.items():
        rows = [
            {"ecg_id": record, "patient_id": record + 0.5, **dict(zip(LABELS, cells, strict=True))}
            for record, (own, cells) in (listed or LISTED).items()
            if own == split
        ]
        table = pd.DataFrame(rows, columns=["ecg_id", "patient_id", *LABELS])
        order = (orders or {}).get(split, LABELS)
        table = table[["ecg_id", "patient_id", *order]]
        if codes:
            table["diagnose"] = [codes[record] for record in table["ecg_id"]]
        table.to_csv(folder / "small" / f"small{ending}", index=False)
    return folder


def store_of(labels: dict[str, dict[str, float]], folds=None) -> EcgStore:
    """Return a store in memory: ecg_id -> labels, each its own patient, and its folds."""
    folds = folds or {}
    records = pd.DataFrame(
        {
            "ecg_id": list(labels),
            "patient_id": list(labels),
            "labels": list(labels.values()),
            "attributes": [{"strat_fold": folds[i]} if i in folds else {} for i in labels],
            "split": [
                {9: "valid", 10: "test"}.get(folds.get(ecg_id), "train") for ecg_id in labels
            ],
        }
    )
    signals = np.zeros((len(records), 12, 1), np.int16)
    return EcgStore(Path("store"), {"hash": "in memory", "source": "simulated"}, records, signals)

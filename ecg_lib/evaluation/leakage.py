"""Audit for leakage: zero-shot AUC on the parts of PTB-XL that are usually called held out.

ECG-QA is made from PTB-XL's ECGs but has its own splits. Most ECGs of folds 9 and 10, on which
PTB-XL is usually tested, appear in ECG-QA's training questions.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ecg_lib.evaluation.zero_shot import auc_table
from ecg_lib.knowledge.zero_shot_labels import zero_shot_targets

HELD_OUT = (9, 10)  # PTB-XL's recommended validation and test folds
ALL, TEST, FOLDS = "all ECGs", "ECG-QA's test ECGs", "folds 9-10"
CLEAN = "folds 9-10 without ECG-QA's training ECGs"
SEEN, MEAN = "% in ECG-QA's training", "mean of labels"


def parts_of(records: pd.DataFrame, asked: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return which ECGs belong to each part of a cohort.

    Parameters
    ----------
    records : (N,) DataFrame
        `EcgStore.records`; `ecg_id` and `strat_fold` of `attributes` are read.
    asked : mapping of str to str
        ecg_id -> split, for the ECGs that ECG-QA lists.

    Returns
    -------
    dict of str to (N,) bool
        Empty if the cohort has no folds or ECG-QA lists none of its ECGs.
    """
    folds = records["attributes"].map(lambda attributes: attributes.get("strat_fold"))
    split = records["ecg_id"].map(dict(asked))
    if folds.isna().all() or split.isna().all():
        return {}
    held_out = folds.isin(HELD_OUT).to_numpy()
    return {
        ALL: np.ones(len(records), dtype=bool),
        TEST: (split == "test").to_numpy(),
        FOLDS: held_out,
        CLEAN: held_out & (split != "train").to_numpy(),
    }


def audit_cells(
    title: str,
    records: pd.DataFrame,
    parts: Mapping[str, np.ndarray],
    scores: Mapping[str, pd.DataFrame],
    asked: Mapping[str, str],
    resamples: int,
    seed: int,
    min_positives: int,
) -> list[dict]:
    """Return the cells of `leakage_audit.csv` (percent).

    Two columns stand beside the labels. One is the share of the part's ECGs that are in ECG-QA's
    training split; its n counts the part's ECGs. The other is the mean AUC over the labels that
    have an AUC on every part, so that parts can be compared; its n counts these labels.

    Parameters
    ----------
    parts : mapping of str to (N,) bool
        As `parts_of` returns them.
    scores : mapping of method to (N, labels) DataFrame
        ECGs in the order of `records`.
    asked : mapping of str to str
        ecg_id -> split, for the ECGs that ECG-QA lists.

    Returns
    -------
    list of dict
        row ("<method>, <data set>, <part>"), column (a label, `SEEN` or `MEAN`), value, n and,
        for labels, an interval. A cohort without parts has a single cell that says so.
    """
    if not parts:
        return [
            {
                "row": f"{title}: no folds, or ECG-QA lists none of its ECGs",
                "column": SEEN,
                "value": np.nan,
                "n": len(records),
            }
        ]
    targets, patients = zero_shot_targets(records), records["patient_id"].to_numpy()
    in_training = records["ecg_id"].map(dict(asked)).eq("train").to_numpy()
    cells = []
    for method, table in scores.items():
        aucs = {
            part: auc_table(
                table[rows], targets[rows], resamples, seed, min_positives, patients[rows]
            )
            for part, rows in parts.items()
            if rows.any()
        }
        everywhere = pd.concat([a.set_index("column")["value"] for a in aucs.values()], axis=1)
        shared = everywhere.index[everywhere.notna().all(axis=1)]
        for part, rows in parts.items():
            row = f"{method}, {title}, {part}"
            seen = 100 * in_training[rows].mean() if rows.any() else np.nan
            cells.append({"row": row, "column": SEEN, "value": seen, "n": int(rows.sum())})
            if part not in aucs:
                continue
            mean = everywhere.loc[shared].mean(axis=0).iloc[list(aucs).index(part)]
            cells.append({"row": row, "column": MEAN, "value": mean, "n": len(shared)})
            cells += [{"row": row, **cell} for cell in aucs[part].to_dict("records")]
    return cells

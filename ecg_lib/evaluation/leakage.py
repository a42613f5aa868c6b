"""Which part of PTB-XL is unseen? Zero-shot AUC on the parts that people call held out.

ECG-QA is made of PTB-XL's ECGs but keeps splits of its own: most ECGs of folds 9 and 10, where
PTB-XL is usually tested, are asked about in ECG-QA's training questions.
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
    """Rows (bool) of each part; empty where the cohort has no folds or ECG-QA none of its ECGs.

    Parameters
    ----------
    records : `EcgStore.records`; `ecg_id` and `strat_fold` of `attributes` are read
    asked : ecg_id -> split, of the ECGs that ECG-QA lists
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
    """Cells of ``leakage_audit.csv``: row = "method, data set, part", column = label.

    Beside the labels: the share of the part's ECGs in ECG-QA's training split (n: its ECGs), and
    the mean over the labels that have an AUC on every part, so that parts can be compared (n: how
    many). A cohort without parts has one cell, which says so.

    Parameters
    ----------
    parts : of `parts_of`
    scores : method -> (ECGs, labels), in the order of `records`
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

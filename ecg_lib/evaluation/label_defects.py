"""What the defects of published label files are worth, computed from the files alone.

See `released_files` for the two defects. A *reader of the true labels* scores each test ECG by its
corrected label. Its AUC against the labels as released is what perfect zero-shot scores would reach
there, and a perfect probe where columns are taken by position. A probe that is trained on columns
filled by substring learns their content instead.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ecg_lib.evaluation.released_files import Released
from ecg_lib.evaluation.released_task import with_released
from ecg_lib.evaluation.task import Task, load_task, task_names
from ecg_lib.intervals import auc_over_seeds


def published_tasks() -> list[Task]:
    """Return the evaluation sets that were published with label files."""
    tasks = [load_task(f"{name}.yaml") for name in task_names()]
    return [task for task in tasks if task.released]


def label_defects(root: str | Path) -> pd.DataFrame:
    """Return what a probe's labels as released differ in from the corrected ones, one row per set.

    Parameters
    ----------
    root : str or Path
        The folder that holds the published files, or one up to two levels above it.

    Returns
    -------
    DataFrame
        `set`, `classes`, `wrong_classes` (with a differing cell), `evaluable` (with a true positive
        in test), `records`, `wrong_records`, `wrong_cells` (in all files), `test_records`,
        `wrong_test_records`, `wrong_test_cells`, and `ceiling`: the mean AUC in percent that the
        reader of the true labels reaches against the labels as released.
    """
    rows = []
    for task in published_tasks():
        true, released = _both(task, root)
        wrong = _wrong(true, released)
        test = (true.split == "test").to_numpy()
        classes = class_defects(task, root)
        rows.append(
            {
                "set": task.title,
                "classes": len(task.labels),
                "wrong_classes": int(wrong.any(axis=0).sum()),
                "evaluable": int(true.targets[test].any().sum()),
                "records": len(wrong),
                "wrong_records": int(wrong.any(axis=1).sum()),
                "wrong_cells": int(wrong.sum()),
                "test_records": int(test.sum()),
                "wrong_test_records": int(wrong[test].any(axis=1).sum()),
                "wrong_test_cells": int(wrong[test].sum()),
                "ceiling": classes["ceiling"].mean(),
            }
        )
    return pd.DataFrame(rows)


def class_defects(task: Task, root: str | Path) -> pd.DataFrame:
    """Return the same by class of one set.

    Returns
    -------
    DataFrame
        `label`, `scored_as` (the class that the released probe is scored against), `true`,
        `released` (positives in all files), `wrong` (cells that differ), `test_true`,
        `test_released`, and `ceiling`, the AUC in percent; 50 for a class without a true positive
        in test, NaN for one without a released positive.
    """
    true, released = _both(task, root)
    wrong = _wrong(true, released).sum(axis=0)
    test = (true.split == "test").to_numpy()
    rows = []
    for k, label in enumerate(task.labels):
        own, scored = true.targets[label].to_numpy(), released.scored[label].to_numpy()
        auc = auc_over_seeds(scored[test], own[test].astype(float), resamples=2, min_positives=1)
        rows.append(
            {
                "label": label,
                "scored_as": released.moved.get(label, label),
                "true": int(own.sum()),
                "released": int(scored.sum()),
                "wrong": int(wrong[k]),
                "test_true": int(own[test].sum()),
                "test_released": int(scored[test].sum()),
                "ceiling": 100 * auc.value,
            }
        )
    return pd.DataFrame(rows)


def _both(task: Task, root: str | Path) -> tuple[Released, Released]:
    true, released = (with_released(task, root, corrected).listed for corrected in (True, False))
    return true, released


def _wrong(true: Released, released: Released) -> np.ndarray:
    return true.targets.to_numpy() != released.scored.to_numpy()  # (records, classes)

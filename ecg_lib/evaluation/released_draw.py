"""The share of training ECGs that MERL's released code draws, beside `probe.drawn_rows`.

It is one random draw of records with seed 42: not of patients, and not stratified, so that with
1 % some classes have no positive at all.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from ecg_lib.evaluation.probe import Draw
from ecg_lib.evaluation.released_task import ReleasedTask
from ecg_lib.evaluation.task import Task

SEED = 42  # of the released code


def record_draw(records: int, share: float, seed: int = SEED) -> np.ndarray:
    """Draw a share of records at random, rounded down.

    Returns
    -------
    (k,) int
        Sorted positions, 0 to records - 1.
    """
    if share >= 1:
        return np.arange(records)
    if int(share * records) < 1:
        return np.arange(0)
    chosen, _ = train_test_split(np.arange(records), train_size=share, random_state=seed)
    return np.sort(chosen)


def released_draw(task: Task, records: pd.DataFrame) -> Draw:
    """Return the released draw for the training ECGs of a task.

    With published files the draw is made among all records of the train file, and those at hand are
    kept: so a share of 1 % is less than 1 % of an incomplete store. Without them it is made among
    the training ECGs, which is the same if the store is complete and in the file's order.

    Parameters
    ----------
    records : (n,) DataFrame
        Rows of `EcgStore.records` to train on.

    Returns
    -------
    callable
        As `probe.drawn_rows`.
    """

    def draw(targets: pd.DataFrame, patients: np.ndarray, share: float, seed: int) -> np.ndarray:
        if not isinstance(task, ReleasedTask):
            return record_draw(len(records), share, seed)
        listed = task.listed.split.index[task.listed.split == "train"]
        chosen = set(listed[record_draw(len(listed), share, seed)])
        return np.flatnonzero([name in chosen for name in task.names(records)])

    return draw

"""Mean AUCs over the labels of a set that have at least so many positives.

MERL and K-MERL average all classes of a set, also those with one test ECG, whose AUC is that ECG's
rank. This library averages classes with ten or more and reports the other mean beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecg_lib.intervals import macro_auc

FEWEST_FOR_INTERVAL = 10  # positives; with fewer, most resamples of patients hold none


def mean_name(least: int) -> str:
    """Return the row's name of a mean over labels with at least so many positives."""
    return f"mean of labels with {least} or more positives"


def mean_cells(
    truth: NDArray[np.bool_],
    scores: ArrayLike,
    least: Sequence[int],
    resamples: int,
    seed: int = 0,
    groups: ArrayLike | None = None,
    minus: ArrayLike | None = None,
) -> list[dict]:
    """Return one mean AUC per number of `least`.

    Parameters
    ----------
    truth : (N, K) bool
    scores, minus : (runs, N, K) float
        As for `macro_auc`.
    least : sequence of int
        A mean takes the labels with at least so many positives and so many negatives.
    groups : (N,), optional
        Patients, for the interval.

    Returns
    -------
    list of dict
        label, value, n (labels averaged), ci_low, ci_high; percent. No interval is given for a mean
        that takes labels with fewer than ten positives.
    """
    cells = []
    for number in least:
        sure = number >= FEWEST_FOR_INTERVAL
        weights = None if sure else np.ones((1, len(truth)))
        found = macro_auc(truth, scores, minus, resamples, seed, number, groups, weights).percent()
        n = int((np.minimum(truth.sum(0), (~truth).sum(0)) >= max(number, 1)).sum())
        unknown = {} if sure else {"ci_low": np.nan, "ci_high": np.nan}
        cells.append({"label": mean_name(number), **found, "n": n, **unknown})
    return cells

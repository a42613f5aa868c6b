"""Means and differences over several trainings: questions and seeds are both drawn again.

With three seeds the interval knows little about how much trainings vary; it knows that they do,
which an interval over questions alone does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ecg_lib.errors import DataError
from ecg_lib.evaluation.statistics import Estimate


def mean_over_seeds(
    values: Sequence[ArrayLike],
    resamples: int = 1000,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> Estimate:
    """Mean of a measure over seeds and questions, 95 % bootstrap interval over both.

    Parameters
    ----------
    values : (seeds, n)
        A measure of each question (right or not, or a fall in it) by each training.
    groups : (n,), optional
        Patients: whole patients are drawn, the same for all seeds of a draw.

    Returns
    -------
    Estimate, a fraction; n counts questions, each of which every seed answered.

    Raises
    ------
    DataError
        There is no training, or trainings answered different numbers of questions.
    """
    lengths = {len(np.asarray(part)) for part in values}
    if len(lengths) != 1:
        raise DataError(
            f"over seeds: trainings answered {sorted(lengths)} questions; give at "
            "least one training, and all the same questions"
        )
    matrix = np.asarray([np.asarray(part, float) for part in values])  # (S, n)
    if not matrix.shape[1]:
        return Estimate(np.nan, np.nan, np.nan, 0)
    group = np.arange(matrix.shape[1]) if groups is None else np.asarray(groups)
    codes = np.unique(group, return_inverse=True)[1]
    sums = np.stack([np.bincount(codes, row) for row in matrix])  # (S, G)
    sizes = np.bincount(codes)
    rng = np.random.default_rng(seed)
    draws = np.empty(resamples)
    for k in range(resamples):
        seeds = rng.integers(0, len(sums), size=len(sums))
        drawn = rng.integers(0, len(sizes), size=len(sizes))
        draws[k] = sums[seeds].mean(axis=0)[drawn].sum() / sizes[drawn].sum()
    low, high = np.percentile(draws, [2.5, 97.5])
    return Estimate(float(matrix.mean()), float(low), float(high), matrix.shape[1])


def difference_over_seeds(
    a: Sequence[ArrayLike],
    b: Sequence[ArrayLike],
    resamples: int = 1000,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> Estimate:
    """a minus b, paired by question and by seed; arguments as for :func:`mean_over_seeds`.

    Raises
    ------
    DataError
        The two have different numbers of trainings or questions.
    """
    if [len(np.asarray(part)) for part in a] != [len(np.asarray(part)) for part in b]:
        raise DataError(
            "over seeds: the two were not trained with the same seeds and asked the "
            "same questions; compare what is paired"
        )
    pairs = [np.asarray(x, float) - np.asarray(y, float) for x, y in zip(a, b, strict=True)]
    return mean_over_seeds(pairs, resamples, seed, groups)

"""Differences in accuracy on the same questions, by question type, with intervals."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ecg_lib.errors import DataError
from ecg_lib.intervals import Estimate, bootstrap_means, wilson
from ecg_lib.questions.schema import SHORT_NAMES

AVERAGE, ALL = "average", "all"


def difference_table(
    a: pd.Series,
    b: pd.Series,
    rows: pd.DataFrame,
    columns: Sequence[str] = tuple(SHORT_NAMES.values()),
    resamples: int = 1000,
    seed: int = 0,
    groups: pd.Series | None = None,
) -> pd.DataFrame:
    """Return a minus b in percentage points, with 95 % paired bootstrap intervals.

    Parameters
    ----------
    a, b : (n,) Series
        The measure on each row: correct or not, or a drop in correctness (-1, 0, 1).
    rows : (n,) DataFrame
        The question rows, in the same order.
    columns : sequence of str
        Question types (short names); rows of other types are left out.
    groups : (n,) Series, optional
        The group of each row, such as the patient; the bootstrap draws whole groups.

    Returns
    -------
    DataFrame
        column, value, n, ci_low, ci_high: one line per question type, one for their unweighted
        "average" (as in the paper's Table 5) and one for "all" rows. NaN where there is no row.

    Raises
    ------
    DataError
        `a`, `b` and `rows` differ in length.
    """
    if not len(a) == len(b) == len(rows):
        raise DataError(
            f"differences: {len(a)} and {len(b)} answers to {len(rows)} questions; "
            "compare answers to the same rows"
        )
    difference = np.asarray(a, float) - np.asarray(b, float)
    cells = mean_cells(difference, rows, columns, resamples, seed, groups)
    kept = short_types(rows).isin(columns).to_numpy()
    together, found = difference[kept], Estimate.none()
    if kept.any():
        own = None if groups is None else np.asarray(groups)[kept]
        draws = bootstrap_means(together, resamples, seed + len(columns), own)
        found = Estimate.of(together.mean(), draws, len(together))
    return pd.DataFrame([*cells, {"column": ALL, **found.percent()}])


def mean_cells(
    values: np.ndarray,
    rows: pd.DataFrame,
    columns: Sequence[str],
    resamples: int,
    seed: int,
    groups: pd.Series | None = None,
    proportion: bool = False,
) -> list[dict[str, str | float]]:
    """Return the mean of a measure by question type and the unweighted average of the types.

    Parameters
    ----------
    values : (n,) float
        The measure on each row.
    groups : (n,) Series, optional
        The group of each row; the bootstrap draws whole groups.
    proportion : bool
        The measure is right or wrong, so each type gets a Wilson interval. The average always has
        a bootstrap interval.

    Returns
    -------
    list of dict
        column (a question type or "average"), value, n, ci_low, ci_high; percent.
    """
    short = short_types(rows).to_numpy()
    cells: list[dict[str, str | float]] = []
    means, draws = [], []
    for number, column in enumerate(columns):
        own = short == column
        part, found = values[own], Estimate.none()
        if len(part):
            group = None if groups is None else np.asarray(groups)[own]
            means.append(part.mean())
            draws.append(bootstrap_means(part, resamples, seed + number, group))
            found = Estimate.of(means[-1], draws[-1], len(part))
            if proportion:
                found = wilson(int(part.sum()), len(part))
        cells.append({"column": column, **found.percent()})
    if means:
        n = int(np.isin(short, list(columns)).sum())
        average = Estimate.of(np.mean(means), np.mean(draws, axis=0), n)
        cells.append({"column": AVERAGE, **average.percent()})
    return cells


def short_types(rows: pd.DataFrame) -> pd.Series:
    """Return the question type of each row, under the name that tables print."""
    return rows["question_type"].map(SHORT_NAMES)

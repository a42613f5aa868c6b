"""Differences between two answerers of the same questions, by question type, with intervals."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ecg_lib.errors import DataError
from ecg_lib.evaluation.statistics import Estimate, bootstrap_means
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
    """a minus b in percentage points, with 95 % paired bootstrap intervals.

    Parameters
    ----------
    a, b : Series
        What is compared on each row: correct or not, or a fall in correctness (-1, 0, 1).
    rows : DataFrame
        The question rows, in the same order.
    columns : sequence of str
        Question types (short names); rows of others are left out.
    groups : Series, optional
        One per row, such as the patient: whole groups are drawn.

    Returns
    -------
    DataFrame
        column, value, n, ci_low, ci_high: a line a question type, their unweighted "average" (as
        Table 5 has it) and "all" rows together. NaN where there is no row.

    Raises
    ------
    DataError
        The three differ in length.
    """
    if not len(a) == len(b) == len(rows):
        raise DataError(
            f"differences: {len(a)} and {len(b)} answers to {len(rows)} questions; "
            "compare answers to the same rows"
        )
    difference = np.asarray(a, float) - np.asarray(b, float)
    short = rows["question_type"].map(SHORT_NAMES).to_numpy()
    patients = np.arange(len(rows)) if groups is None else np.asarray(groups)
    cells, draws, means = [], [], []
    for number, column in enumerate(columns):
        own = short == column
        drawn = _draw(difference[own], resamples, seed + number, patients[own])
        cells.append(_cell(column, difference[own], drawn))
        if own.any():
            draws.append(drawn)
            means.append(difference[own].mean())
    kept = np.isin(short, list(columns))
    if means:
        low, high = np.percentile(np.mean(draws, axis=0), [2.5, 97.5])
        average = Estimate(float(np.mean(means)), float(low), float(high), int(kept.sum()))
        cells.append({"column": AVERAGE, **average.percent()})
    drawn = _draw(difference[kept], resamples, seed + len(columns), patients[kept])
    cells.append(_cell(ALL, difference[kept], drawn))
    return pd.DataFrame(cells)


def _draw(values: np.ndarray, resamples: int, seed: int, groups: np.ndarray) -> np.ndarray:
    return bootstrap_means(values, resamples, seed, groups) if len(values) else values


def _cell(column: str, values: np.ndarray, draws: np.ndarray) -> dict[str, object]:
    if not len(values):
        return {"column": column, **Estimate(np.nan, np.nan, np.nan, 0).percent()}
    low, high = np.percentile(draws, [2.5, 97.5])
    estimate = Estimate(float(values.mean()), float(low), float(high), len(values))
    return {"column": column, **estimate.percent()}

"""Turn question answering into classification over ECG-QA's closed list of answers, and back.

The traditional methods of Table 3 work this way. Every question is a multi-label decision over the
104 answers, limited to those that the question admits: its template's own, or its two options.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_lib.errors import DataError
from ecg_lib.questions.vocabulary import NONE, all_answers, answer_text, classes_for

LIMIT = 0.5  # an answer is given from this probability on


def ecgqa_classes(row: Any) -> tuple[str, ...]:
    """Return the answers that ECG-QA's lists admit for a row, also for one read from Parquet."""
    attribute = getattr(row, "attribute", None)
    options = list(attribute) if isinstance(attribute, Iterable) else None
    return classes_for(row.template_id, row.question_type, options)


def answer_matrix(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Return (n, 104) bool: which answers of the closed list are in each row's answer set.

    An answer outside the list has no column, because a classifier cannot give it.
    """
    return _matrix(rows["answer"])


def admitted_matrix(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Return (n, 104) bool: which answers each question admits."""
    return _matrix([ecgqa_classes(row) for row in rows.itertuples(index=False)])


def decode(probabilities: NDArray, rows: pd.DataFrame) -> pd.Series:
    """Turn the probability of each answer of the closed list into answers as text.

    Of the answers that a question admits, those at `LIMIT` or above are given, or the likeliest if
    there is none. A verify question gets the likeliest, because yes, no and not sure exclude each
    other. "none" is dropped beside other answers.

    Parameters
    ----------
    probabilities : (n, 104) float
        Columns in the order of `all_answers`.
    rows : DataFrame
        The n question rows.

    Returns
    -------
    Series of str
        Indexed as `rows`.

    Raises
    ------
    DataError
        The shapes differ.
    """
    names = np.array(all_answers())
    if probabilities.shape != (len(rows), len(names)):
        raise DataError(
            f"closed answers: probabilities have shape {probabilities.shape}, not "
            f"{(len(rows), len(names))}; give one row per question and one column per answer"
        )
    open_to = np.where(admitted_matrix(rows), probabilities, -1.0)
    said = []
    for scores, kind in zip(open_to, rows["question_type"], strict=True):
        chosen = names[scores >= LIMIT] if not kind.endswith("verify") else names[:0]
        if not len(chosen):
            chosen = names[[scores.argmax()]]
        said.append(answer_text(set(chosen) - {NONE} or {NONE}))
    return pd.Series(said, index=rows.index, name="prediction", dtype=object)


def _matrix(answers: Iterable[Iterable[str]]) -> NDArray[np.bool_]:
    column = {answer: i for i, answer in enumerate(all_answers())}
    sets = [[column[a] for a in answer if a in column] for answer in answers]
    matrix = np.zeros((len(sets), len(column)), dtype=bool)
    for row, found in zip(matrix, sets, strict=True):
        row[found] = True
    return matrix

"""A set of questions about ECGs, in the form in which the blind test asks them.

A set holds question rows, a table of ECGs and a way to get at their signals. Donors for the
random-ECG test are drawn from the table of ECGs, so it should list every ECG at hand, and not only
those that are asked about.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ecg_lib.errors import DataError
from ecg_lib.questions.vocabulary import NO, YES, answer_text

ROW_COLUMNS = ("row_id", "ecg_id", "question", "answer", "key", "kind")
ECG_COLUMNS = ("ecg_id", "patient_id", "split", "normal", "severity")


@dataclass(frozen=True, eq=False)
class QuestionSet:
    """Questions with known answers about ECGs with known patients.

    Parameters
    ----------
    name : str
        Name in tables and file names.
    rows : DataFrame
        One row per question: `row_id` (unique text), `ecg_id` (a list of one id or two, the
        earlier ECG first), `question`, `answer` (a list of labels, such as ["yes"]), `key` (the
        same for all wordings of one question) and `kind` (a group of questions that share a column
        of the table, such as "S-Verify").
    ecgs : DataFrame
        One row per ECG: `ecg_id`, `patient_id`, `split` (donors come from the same split),
        `normal` (bool, or None if not known) and `severity` (0 to 1, or NaN).
    signals : callable
        Takes ecg_ids and returns (n, 12, T) float32, mV, with the leads in the order of `LEADS`.
    rate : int
        Sampling rate of the signals, Hz.
    truth : callable, optional
        Takes rows of this set, perhaps about other ECGs than their own, and returns the true
        answers as a Series of text; None where an answer is not known.

    Raises
    ------
    DataError
        A column is missing, a row_id or an ecg_id occurs twice, a row has no ECG, no question or no
        answer, or names an ECG that is not in `ecgs`.
    """

    name: str
    rows: pd.DataFrame
    ecgs: pd.DataFrame
    signals: Callable[[Sequence[str]], np.ndarray]
    rate: int
    truth: Callable[[pd.DataFrame], pd.Series] | None = None

    def __post_init__(self) -> None:
        _has(self.name, "question rows", self.rows, ROW_COLUMNS)
        _has(self.name, "table of ECGs", self.ecgs, ECG_COLUMNS)
        for column, table in (("row_id", self.rows), ("ecg_id", self.ecgs)):
            twice = table[column][table[column].duplicated()]
            if len(twice):
                raise DataError(f"{self.name}: {column} {twice.iloc[0]!r} occurs twice; keep one")
        if self.rows.empty:
            raise DataError(f"{self.name}: no question is about an ECG at hand; give more ECGs")
        known = set(self.ecgs["ecg_id"])
        for row in self.rows.itertuples():
            if not row.ecg_id or len(row.ecg_id) > 2:
                raise DataError(f"{self.name}, row {row.row_id}: name one ECG or two")
            if missing := [ecg for ecg in row.ecg_id if ecg not in known]:
                raise DataError(f"{self.name}, row {row.row_id}: no ECG {missing[0]}; leave it out")
            if not str(row.question).strip() or not row.answer:
                raise DataError(f"{self.name}, row {row.row_id}: question or answer is empty")

    @property
    def patients(self) -> pd.Series:
        """The patient of each ECG, by ecg_id."""
        return self.ecgs.set_index("ecg_id")["patient_id"]

    def only(self, pattern: str) -> QuestionSet:
        """Return the set with only those questions in whose text a regular expression is found.

        Raises
        ------
        DataError
            The expression is not a valid one, or no question fits it.
        """
        try:
            fits = self.rows["question"].str.contains(pattern, case=False, regex=True)
        except re.error as error:
            raise DataError(f"only {pattern!r}: no regular expression ({error}); mend it") from None
        if not fits.any():
            raise DataError(f"only {pattern!r}: no question of {self.name} fits; widen it")
        return replace(self, rows=self.rows[fits].reset_index(drop=True))


def answer_of(rows: pd.DataFrame) -> pd.Series:
    """Return each row's answer as one text, its labels joined by "; "."""
    return rows["answer"].map(answer_text)


def closed(rows: pd.DataFrame) -> pd.Series:
    """Return which rows are answered yes or no."""
    return rows["answer"].map(lambda labels: list(labels) in ([YES], [NO])).astype(bool)


def severity_texts(rows: pd.DataFrame, ecgs: pd.DataFrame) -> pd.Series:
    """Return for each row whether its ECGs are normal, such as "ill" or "normal then ill".

    The text is empty if that is not known of all its ECGs.
    """
    known = {
        ecg: "normal" if bool(normal) else "ill"
        for ecg, normal in zip(ecgs["ecg_id"], ecgs["normal"], strict=True)
        if not pd.isna(normal)
    }
    texts = [
        " then ".join(known[ecg] for ecg in ids) if all(ecg in known for ecg in ids) else ""
        for ids in rows["ecg_id"]
    ]
    return pd.Series(texts, index=rows.index, dtype=object)


def sample(rows: pd.DataFrame, most: int | None, seed: int) -> pd.DataFrame:
    """Draw about `most` rows at random, each kind in proportion; all rows if there are no more."""
    if most is None or len(rows) <= most:
        return rows
    share = most / len(rows)
    kept = [
        part.sample(max(1, round(share * len(part))), random_state=seed)
        for _, part in rows.groupby("kind", sort=True)
    ]
    return pd.concat(kept).sort_index()


def _has(name: str, what: str, table: pd.DataFrame, columns: Sequence[str]) -> None:
    missing = [column for column in columns if column not in table]
    if missing:
        raise DataError(f"{name}: the {what} lack the column {missing[0]!r}; add it")

"""Accuracy by severity and answer: what a model reads beyond whether the ECG is ill.

"Yes if it looks ill" is right for most questions, and wrong where the ECG is ill and the answer is
no. Rows are therefore split by both severity and answer. The fair measure is the mean accuracy over
two strata: ill ECGs whose answer is yes and ill ECGs whose answer is no. A model that reads only
illness scores 50 % on it. A question about two ECGs counts as ill if both are abnormal and as
normal if both are normal; otherwise it is in no stratum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ecg_lib.errors import DataError
from ecg_lib.evaluation.resamples import Resamples
from ecg_lib.intervals import Estimate, counts_of
from ecg_lib.questions.bias import kind_of
from ecg_lib.questions.debias import yes_or_no
from ecg_lib.questions.schema import SHORT_NAMES

ALL, WITHIN = "all", "balanced within ill"
ILL_YES, ILL_NO, NORMAL_YES, NORMAL_NO = STRATA = (
    "ill, yes",
    "ill, no",
    "normal, yes",
    "normal, no",
)
EVERY = "all verify"  # all yes/no question types together


def strata(rows: pd.DataFrame, normal: pd.Series) -> pd.Series:
    """Return the stratum of each row.

    Parameters
    ----------
    rows : (n,) DataFrame
        Question rows.
    normal : Series of bool
        Whether each ECG is normal, by ecg_id.

    Returns
    -------
    (n,) Series of str
        One of `STRATA`; "" for a mixed pair, an answer other than yes or no, or an unknown ECG.
    """
    known = normal.to_dict()
    bits = [{known.get(ecg) for ecg in ecgs} for ecgs in rows["ecg_id"]]
    yes = yes_or_no(rows)["yes"].to_dict()
    names = {
        (severity, answer): f"{name}, {word}"
        for severity, name in ((False, "ill"), (True, "normal"))
        for answer, word in ((True, "yes"), (False, "no"))
    }
    return pd.Series(
        [
            names.get((next(iter(bit)), yes.get(row)), "") if len(bit) == 1 else ""
            for row, bit in zip(rows.index, bits, strict=True)
        ],
        index=rows.index,
        dtype=object,
    )


def question_kinds(rows: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    """Return which rows belong to each kind of yes/no question.

    Kinds are all yes/no questions together (if there are several types), each question type, and
    for questions about one ECG also "specific" and "noise" questions.

    Parameters
    ----------
    rows : (n,) DataFrame
        Question rows.

    Returns
    -------
    dict of str to (n,) bool
        Kinds without a row are left out.
    """
    verify = rows["question_type"].str.endswith("verify").to_numpy()
    short, kind = rows["question_type"].map(SHORT_NAMES).to_numpy(), kind_of(rows).to_numpy()
    types = [name for name in SHORT_NAMES.values() if name.endswith("Verify")]
    found = {EVERY: verify} if len(set(short[verify])) > 1 else {}
    for name in types:
        found[name] = short == name
        if name.startswith("S-"):
            found |= {f"{name}, {k}": (short == name) & (kind == k) for k in ("specific", "noise")}
    return {name: own for name, own in found.items() if own.any()}


def stratum_cells(
    values: ArrayLike, stratum: ArrayLike, patients: ArrayLike, resamples: int, seed: int
) -> list[dict[str, str | float]]:
    """Return the mean of a measure in each stratum and balanced within the ill ECGs.

    Parameters
    ----------
    values : (n,) float
        Right or wrong, or the difference between two models (-1, 0, 1).
    stratum : (n,) str
        One of `STRATA` or "".
    patients : (n,) str
        The bootstrap draws whole patients, the same ones for all cells of a call.

    Returns
    -------
    list of dict
        column (`ALL`, `WITHIN`, then the strata that have a row), value, n, ci_low, ci_high;
        percent. `WITHIN` is NaN if all ill ECGs have the same answer; its n counts rows about ill
        ECGs.

    Raises
    ------
    DataError
        The three arrays differ in length.
    """
    values, stratum = np.asarray(values, float), np.asarray(stratum)
    if not len(values) == len(stratum) == len(np.asarray(patients)):
        raise DataError(
            "severity strata: answers, strata and patients differ in number; give one of each "
            "per row"
        )
    member = np.stack([np.ones(len(values)), *(stratum == name for name in STRATA)], axis=1)
    drawn = Resamples.draw(np.asarray(patients, str), resamples, seed)
    code = np.searchsorted(drawn.patients, np.asarray(patients, str))
    sums = np.zeros((2, len(drawn.patients), member.shape[1]))  # of values, of rows
    np.add.at(sums[0], code, member * values[:, None])
    np.add.at(sums[1], code, member)
    counts = counts_of(drawn.drawn, len(drawn.patients))  # (resamples, patients)
    n = member.sum(axis=0).astype(int)
    with np.errstate(invalid="ignore"):
        mean = (member * values[:, None]).sum(axis=0) / n  # (1 + strata,)
        draws = (counts @ sums[0]) / (counts @ sums[1])  # (resamples, 1 + strata)
    parts = dict(zip((ALL, *STRATA), range(len(n)), strict=True))
    everywhere = _estimate(mean[0], draws[:, 0], n[0])
    cells: list[dict[str, str | float]] = [{"column": ALL, **everywhere.percent()}]
    ill = [parts[ILL_YES], parts[ILL_NO]]
    balanced = _estimate(mean[ill].mean(), draws[:, ill].mean(axis=1), n[ill].sum())
    cells.append({"column": WITHIN, **balanced.percent()})
    for name in STRATA:
        if n[k := parts[name]]:
            cells.append({"column": name, **_estimate(mean[k], draws[:, k], n[k]).percent()})
    return cells


def within_illness(
    right: Mapping[str, pd.Series],
    rows: pd.DataFrame,
    normal: pd.Series,
    patients: pd.Series,
    compared: Iterable[tuple[str, str]] = (),
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Apply `stratum_cells` to several models on the same yes/no questions and to differences.

    Parameters
    ----------
    right : mapping of model to (n,) Series of bool
        Whether each answer is right, with the index of `rows`.
    rows : (n,) DataFrame
        Question rows.
    normal, patients : Series
        Whether an ECG is normal, and its patient_id, by ecg_id. A comparison belongs to the
        patient of its first ECG.
    compared : iterable of (str, str)
        Pairs of models; the second is subtracted from the first, paired by question.

    Returns
    -------
    DataFrame
        row ("<model>, <kind>" or "<first> - <second>, <kind>"), column, value, n, ci_low, ci_high.

    Raises
    ------
    DataError
        A model answered other rows.
    """
    for name, own in right.items():
        if not own.index.equals(rows.index):
            raise DataError(f"within illness: {name} answered other rows; score the same rows")
    measured = {name: own.to_numpy(float) for name, own in right.items()}
    measured |= {f"{a} - {b}": measured[a] - measured[b] for a, b in compared}
    stratum = strata(rows, normal).to_numpy()
    owner = rows["ecg_id"].str[0].map(patients).to_numpy()
    cells = [
        {"row": f"{name}, {kind}", **cell}
        for name, values in measured.items()
        for kind, own in question_kinds(rows).items()
        for cell in stratum_cells(values[own], stratum[own], owner[own], resamples, seed)
    ]
    return pd.DataFrame(cells, columns=["row", "column", "value", "n", "ci_low", "ci_high"])


def _estimate(value: float, draws: NDArray, n: int) -> Estimate:
    return Estimate.none(int(n)) if np.isnan(value) else Estimate.of(value, draws, int(n))

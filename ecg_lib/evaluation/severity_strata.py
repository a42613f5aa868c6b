"""Accuracy by severity and answer: what an answerer reads beyond whether the ECG is ill.

"Yes if it looks ill" is right for most questions, and wrong where the ECG is ill and the answer is
no. So rows are split by both: the honest measure is the mean of the ill who should hear yes and the
ill who should hear no, where a reader of illness alone has 50 %. A question about two ECGs counts
as ill where both are abnormal, as normal where both are normal, and is left out of the strata
otherwise.
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
EVERY = "all verify"  # the question types together


def strata(rows: pd.DataFrame, normal: pd.Series) -> pd.Series:
    """One of `STRATA` for each row; "" for a mixed pair, another answer or an unknown ECG.

    Parameters
    ----------
    rows : question rows
    normal : bool by ecg_id
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
    """Rows (n,) of each kind of yes/no question: all, by type, and the kinds of those of one ECG.

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
) -> list[dict[str, object]]:
    """Mean of a measure in each stratum and balanced within the ill, in percent.

    Parameters
    ----------
    values : (n,) right or not, or the difference of two answerers' (-1, 0, 1)
    stratum : (n,) one of `STRATA` or ""
    patients : (n,); whole patients are drawn, the same for every measure of a call

    Returns
    -------
    list of cells: column (`ALL`, `WITHIN`, then the strata that have a row), value, n, ci_low,
    ci_high. `WITHIN` is NaN where the ill all have one answer; its n counts the ill.
    """
    values, stratum = np.asarray(values, float), np.asarray(stratum)
    if not len(values) == len(stratum) == len(np.asarray(patients)):
        raise DataError("severity strata: answers, strata and patients differ in number")
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
    cells = [{"column": ALL, **_estimate(mean[0], draws[:, 0], n[0]).percent()}]
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
    """`stratum_cells` of several answerers to the same yes/no questions, and of their differences.

    Parameters
    ----------
    right : answerer -> right or not, with the index of `rows`
    normal, patients : bool and patient_id by ecg_id; a comparison belongs to its first ECG's
    compared : pairs of answerers; the second is subtracted from the first, paired by question

    Returns
    -------
    DataFrame: row ("<answerer>, <kind>" or "<first> - <second>, <kind>"), column, value, n,
    ci_low, ci_high.

    Raises
    ------
    DataError
        Somebody answered other rows.
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

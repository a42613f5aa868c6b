"""The random-ECG test of whether answers depend on the ECG at all (paper, Table 5).

Every ECG of a test question is replaced by another patient's. A model that reads the ECG loses
accuracy; a model that answers from the question alone does not. The paper does not say how the
replacement is drawn. Here the donor is in the same split and is not a patient of the question.
Both ECGs of a comparison are replaced, by two different ECGs. The stricter variants draw donors as
ill as the ECG they replace, so that a drop in accuracy cannot come from illness alone:
`match="normal"` replaces normal by normal and abnormal by abnormal ECGs, and `match="severity"`
draws from the same grade of severity.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from ecg_lib.errors import DataError
from ecg_lib.evaluation.differences import mean_cells
from ecg_lib.questions.severity import strata

ORIGINAL, RANDOM, DROP = "original ECG", "random ECG", "drop"
VERIFY = ("S-Verify", "CC-Verify", "CI-Verify")  # the columns of Table 5
_ROUNDS = 50  # rounds of rejection sampling; the few rows then left get an exact draw


def donors(
    rows: pd.DataFrame, records: pd.DataFrame, seed: int, match: str | None = None
) -> pd.DataFrame:
    """Replace every ECG of the question rows by a donor's.

    Parameters
    ----------
    rows : DataFrame
        Question rows; `ecg_id` is a list of one or two ids.
    records : DataFrame
        One row per ECG, originals and all donors: ecg_id, patient_id, split, normal (bool) and,
        to match on it, severity (0 to 1).
    seed : int
        The same seed gives the same donors.
    match : None, "normal" or "severity"
        Draw each donor from the stratum of the replaced ECG (`ecg_lib.questions.severity.strata`).

    Returns
    -------
    DataFrame
        The same rows with a new `ecg_id`.

    Raises
    ------
    DataError
        An ECG is not in `records` or is listed twice, a row has no possible donor, or `match` is
        unknown or has no values to match on.
    """
    keys = [records["split"]] + ([] if match is None else [strata(records, match).to_numpy()])
    patient = pd.factorize(records["patient_id"], use_na_sentinel=False)[0]
    stratum = records.groupby(keys, sort=True, dropna=False).ngroup().to_numpy()
    pools = [np.flatnonzero(stratum == s) for s in range(stratum.max() + 1)]
    originals = _positions(rows, records)
    drawn = np.full_like(originals, -1)
    wanted = originals >= 0
    forbidden = np.where(wanted, patient[originals], -1)
    rng = np.random.default_rng(seed)
    open_rows = np.arange(len(rows))
    for _ in range(_ROUNDS):
        for s, pool in enumerate(pools):
            at = wanted[open_rows] & (stratum[originals[open_rows]] == s)
            picked = pool[rng.integers(0, len(pool), size=int(at.sum()))]
            block = drawn[open_rows]
            block[at] = picked
            drawn[open_rows] = block
        allowed = _allowed(drawn[open_rows], forbidden[open_rows], patient)
        open_rows = open_rows[~allowed]
        if not len(open_rows):
            break
    for row in tqdm(open_rows, desc="donors, exact draw", disable=len(open_rows) < 1000):
        slots = [pools[stratum[o]] for o in originals[row] if o >= 0]
        pair = _exact_draw(rng, [p[~np.isin(patient[p], forbidden[row])] for p in slots])
        if pair is None:
            ids = ", ".join(rows["ecg_id"].iloc[row])
            raise DataError(f"random ECG: no donor for {ids} in the same split; add patients")
        drawn[row, : len(pair)] = pair
    ids = records["ecg_id"].to_numpy()
    replaced = [[str(i) for i in ids[d[d >= 0]]] for d in drawn]
    return rows.assign(ecg_id=pd.Series(replaced, index=rows.index, dtype=object))


def drop_table(
    correct_original: pd.Series,
    correct_random: pd.Series,
    rows: pd.DataFrame,
    columns: Sequence[str] = VERIFY,
    resamples: int = 1000,
    seed: int = 0,
    groups: pd.Series | None = None,
) -> pd.DataFrame:
    """Return accuracy with the original and with the random ECG, and the drop between them.

    The average is the unweighted mean of the columns, as in the paper's Table 5. Accuracies have
    Wilson intervals. Drops and averages have bootstrap intervals; drops are paired by question.

    Parameters
    ----------
    correct_original, correct_random : (n,) Series of bool
        Whether each answer is right, with the original and with the random ECG.
    rows : (n,) DataFrame
        The question rows, in the same order.
    groups : (n,) Series, optional
        The group of each row, such as the patient; the bootstrap draws whole groups.

    Returns
    -------
    DataFrame
        row ("original ECG", "random ECG", "drop"), column, value, n, ci_low, ci_high; percent.

    Raises
    ------
    DataError
        Answers and rows differ in number.
    """
    if not len(correct_original) == len(correct_random) == len(rows):
        raise DataError(
            "random ECG: answers and rows differ in number; score the same rows both times"
        )
    original, random = (np.asarray(c, float) for c in (correct_original, correct_random))
    cells = []
    for row, values in ((ORIGINAL, original), (RANDOM, random), (DROP, original - random)):
        own = mean_cells(values, rows, columns, resamples, seed, groups, proportion=row != DROP)
        cells += [{"row": row, **cell} for cell in own]
    return pd.DataFrame(cells)


def _positions(rows: pd.DataFrame, records: pd.DataFrame) -> NDArray:
    """Return each row's positions in `records`, (rows, largest number of ECGs), -1 for none."""
    index = pd.Index(records["ecg_id"])
    if not index.is_unique:
        raise DataError("random ECG: records list an ecg_id twice; give one row per ECG")
    width = max((len(ids) for ids in rows["ecg_id"]), default=1)
    positions = np.full((len(rows), width), -1)
    flat = rows["ecg_id"].explode()
    found = index.get_indexer(flat)
    if (found < 0).any():
        raise DataError(
            f"random ECG: {flat.iloc[int(np.argmin(found))]} is not among the records; add its "
            "record or drop the questions about it"
        )
    lengths = rows["ecg_id"].map(len).to_numpy()
    positions[np.arange(width) < lengths[:, None]] = found
    return positions


def _allowed(drawn: NDArray, forbidden: NDArray, patient: NDArray) -> NDArray:
    """Return which rows have donors of other patients, all of them different ECGs."""
    used = drawn >= 0
    same = (patient[drawn][:, :, None] == forbidden[:, None, :]) & (forbidden >= 0)[:, None, :]
    clash = (same.any(axis=2) & used).any(axis=1)
    ordered = np.sort(np.where(used, drawn, -1 - np.arange(drawn.shape[1])), axis=1)
    return ~clash & (np.diff(ordered, axis=1) != 0).all(axis=1)


def _exact_draw(rng: np.random.Generator, allowed: list[NDArray]) -> list[int] | None:
    """Draw one donor per slot, all different; return None where that is impossible."""
    if len(allowed) == 2 and len(allowed[1]) == 1:
        allowed = [np.setdiff1d(allowed[0], allowed[1]), allowed[1]]
    chosen: list[int] = []
    for pool in allowed:
        pool = np.setdiff1d(pool, chosen)
        if not len(pool):
            return None
        chosen.append(int(rng.choice(pool)))
    return chosen

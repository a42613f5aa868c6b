"""Measure how well yes/no questions can be answered without reading the ECG.

A *reader* here is a rule for answering: it knows the question, or whether the patient is ill
(severity: normal or not), or both, or neither. A *remedy* is a way of de-biasing the rows
(`ecg_lib.questions.debias`): pairs of a yes and a no, such pairs within severity (both equally
ill), or weights that adjust for severity. For each *world*, a rule for who is asked what
(`ecg_lib.questions.worlds`), and each remedy, the table gives the accuracy of five readers, how
much the question tells about its answer, and how many rows are left. A reader is scored on the
rows that it learned from, because that is the accuracy that training rewards.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.metrics import mutual_info_score

from ecg_lib.questions.bias import asks_if_well
from ecg_lib.questions.debias import (
    pair_verify,
    pair_within_severity,
    severity_weights,
    yes_or_no,
)

REMEDIES = ("as drawn", "pairs", "pairs within severity", "weights")
READERS = ("constant", "question", "ill", "question + ill", "perfect")
BITS = "I(question; answer)"


def worth(
    rows: pd.DataFrame,
    normal: pd.Series,
    seed: int = 0,
    severity: pd.Series | None = None,
    unsure: str = "leave out",
) -> pd.DataFrame:
    """Score the readers on one world's verify rows under every remedy.

    Parameters
    ----------
    rows : DataFrame
        Question rows, drawn in one world.
    normal : Series of bool
        Indexed by ecg_id. Verify rows about an ECG that it lacks are left out.
    seed : int
        Random seed of the pairing.
    severity : Series, optional
        Stratum by ecg_id, for the pairs within severity; `normal` by default.
    unsure : {"leave out", "error"}
        Treatment of rows answered "not sure" in the rows as drawn: leave them out, or count them
        as wrong for every reader but the perfect one. All remedies leave them out.

    Returns
    -------
    DataFrame
        `remedy, reader, value, n, yes, normal`. `value` is the accuracy, in [0, 1], of

        * "constant": one answer to everything;
        * "question": the most common answer to each question;
        * "ill": yes if the ECG (the later of two) is not normal; for "is it normal?" the reverse;
        * "question + ill": the most common answer to each question at each severity;
        * "perfect".

        In the row "I(question; answer)" it is their mutual information in bits. `n` is the number
        of rows; `yes` and `normal` are the shares answered yes and asked about a normal ECG.
    """
    verify = rows.loc[rows.question_type.str.endswith("verify")]
    verify = verify.loc[verify.ecg_id.map(lambda ids: all(i in normal.index for i in ids))]
    told = yes_or_no(verify)
    base = float(normal.mean())
    sets = {
        "as drawn": told,
        "pairs": yes_or_no(pair_verify(verify, seed)[0]),
        "pairs within severity": yes_or_no(
            pair_within_severity(verify, normal if severity is None else severity, seed)[0]
        ),
        "weights": told.assign(weight=severity_weights(told, normal, base, one_stratum="drop")),
    }
    lost = len(verify) - len(told) if unsure == "error" else 0
    lines = []
    for remedy, part in sets.items():
        part = part.loc[part.get("weight", pd.Series(1.0, index=part.index)) > 0]
        if len(part):
            lines += _read(part, normal, remedy, lost if remedy == "as drawn" else 0)
    return pd.DataFrame(lines, columns=["remedy", "reader", "value", "n", "yes", "normal"])


def worth_of_worlds(
    worlds: Mapping[str, pd.DataFrame], normal: pd.Series, seed: int = 0, **settings
) -> pd.DataFrame:
    """Run `worth` on several worlds (name -> rows); the column `world` comes first."""
    parts = [worth(r, normal, seed, **settings).assign(world=w) for w, r in worlds.items()]
    table = pd.concat(parts, ignore_index=True)
    return table[["world", *(c for c in table.columns if c != "world")]]


def _read(rows: pd.DataFrame, normal: pd.Series, remedy: str, lost: int) -> list[tuple]:
    """Return one line per reader; `lost` further rows are answered "not sure"."""
    yes, weight = rows.yes.to_numpy(), rows.get("weight", pd.Series(1.0, index=rows.index))
    weight = weight.to_numpy(float)
    total = weight.sum() + lost
    ill = ~rows.ecg_id.str[-1].map(normal).to_numpy(bool)
    strata = rows.ecg_id.map(lambda ids: "".join("01"[bool(normal[i])] for i in ids))
    says = ill ^ rows.template_id.isin(asks_if_well()).to_numpy()
    right = {
        "constant": _commonest(pd.Series("", index=rows.index), yes, weight),
        "question": _commonest(rows.key, yes, weight),
        "ill": weight[says == yes].sum(),
        "question + ill": _commonest(rows.key + " | " + strata, yes, weight),
    }
    values = {reader: hit / total for reader, hit in right.items()} | {"perfect": 1.0}
    values[BITS] = _bits(rows.key, yes, weight)
    n, share = len(rows) + lost, weight[yes].sum() / weight.sum()
    well_share = weight[~ill].sum() / weight.sum()
    return [(remedy, reader, value, n, share, well_share) for reader, value in values.items()]


def _commonest(groups: pd.Series, yes: np.ndarray, weight: np.ndarray) -> float:
    """Sum the weights of the rows that the most common answer of each group gets right."""
    by = pd.DataFrame({"g": groups.to_numpy(), "yes": weight * yes, "no": weight * ~yes})
    return float(by.groupby("g")[["yes", "no"]].sum().max(axis=1).sum())


def _bits(groups: pd.Series, yes: np.ndarray, weight: np.ndarray) -> float:
    by = pd.DataFrame({"g": groups.to_numpy(), "yes": weight * yes, "no": weight * ~yes})
    table = by.groupby("g")[["yes", "no"]].sum().to_numpy()
    return float(mutual_info_score(None, None, contingency=table) / np.log(2))

"""Cells of the tables about biased questions: Table 1, question-only accuracy, pairs and weights.

Proportions are in percent, as in every result table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ecg_lib.questions import bias, debias

KINDS = ("broad", "specific", "noise")
Cells = list[dict[str, Any]]


def table1_cells(rows: pd.DataFrame, normal: pd.Series, paper: pd.DataFrame) -> Cells:
    """Share of normal ECGs by question: those the paper prints, then all of each kind.

    Parameters
    ----------
    rows : DataFrame
        Question rows, as a rule those of train.
    normal : Series of bool, indexed by ecg_id
    paper : DataFrame
        The published table: row = question, column = kind. Where ``rows`` never ask a question,
        its value is NaN and its n is 0.
    """
    printed = paper[["row", "column"]].set_axis(["question", "kind"], axis=1)
    each = bias.normal_ratio(rows, normal).drop(columns="kind")
    each = printed.merge(each, how="left", on="question").fillna({"n": 0})
    whole = bias.normal_ratio_by_kind(rows, normal)
    whole = whole.assign(question="all " + whole["kind"] + " questions")
    both = pd.concat([each, whole[whole["kind"].isin(KINDS)]])
    return [{"row": r.question, "column": r.kind, **_percent(r.ratio, r.n, r.ci_low, r.ci_high)}
            for r in both.itertuples()]  # fmt: skip


def question_only_cells(train: pd.DataFrame, tests: Mapping[str, pd.DataFrame]) -> Cells:
    """Accuracy without the ECG on several tests (name -> rows); tests without rows are left out."""
    return [
        {"row": f"{r.method}, {name}", "column": r.question_type,
         **_percent(r.value, r.n, r.ci_low, r.ci_high)}
        for name, rows in tests.items() if len(rows)
        for r in bias.question_only(train, rows).itertuples()
    ]  # fmt: skip


def audit_by_kind(before: pd.DataFrame, after: pd.DataFrame, normal: pd.Series) -> pd.DataFrame:
    """Both marginals of verify questions, all questions of a kind together, as proportions.

    Parameters
    ----------
    before, after : DataFrame
        Rows given to and got from :func:`debias.pair_verify`.
    normal : Series of bool, indexed by ecg_id

    Returns
    -------
    DataFrame indexed by kind ("comparison" for two ECGs)
        ``rows``, ``pairs``; ``yes before``, ``yes paired``; ``normal before``, ``normal paired``,
        and ``normal weighted``: the rows before, under :func:`debias.severity_weights`. NaN where
        there are two ECGs or no row.
    """
    weights = debias.severity_weights(before, normal)
    old, new = _verify(before, normal), _verify(after, normal)
    weighed = old.assign(weight=weights.loc[old.index]).dropna(subset="normal")
    weighed["product"] = weighed["normal"] * weighed["weight"]
    sums = weighed.groupby("kind")[["product", "weight"]].sum()
    groups, paired = old.groupby("kind"), new.groupby("kind")
    table = pd.DataFrame(
        {
            "rows": groups.size(),
            "pairs": paired["yes"].sum(),
            "yes before": groups["yes"].mean(),
            "yes paired": paired["yes"].mean(),
            "normal before": groups["normal"].mean(),
            "normal paired": paired["normal"].mean(),
            "normal weighted": sums["product"] / sums["weight"],
        }
    )
    table["pairs"] = table["pairs"].fillna(0).astype(int)
    order = [kind for kind in (*KINDS, "other", "comparison") if kind in table.index]
    return table.loc[order]


def audit_cells(table: pd.DataFrame) -> Cells:
    """Cells of :func:`audit_by_kind`, one decimal; n is the number of rows a share is of."""
    cells = []
    for kind, line in table.iterrows():
        cells.append({"row": kind, "column": "pairs", "value": line["pairs"]})
        for column in table.columns[2:]:
            n = 2 * line["pairs"] if column.endswith("paired") else line["rows"]
            value = round(100 * line[column], 1)
            cells.append({"row": kind, "column": column, "value": value, "n": n})
    return cells


def _verify(rows: pd.DataFrame, normal: pd.Series) -> pd.DataFrame:
    """Verify rows answered yes or no: kind, yes, and normal (NaN where there are two ECGs)."""
    verify = debias.yes_or_no(rows)
    single = verify["question_type"].str.startswith("single")
    first = verify["ecg_id"].str[0].map(normal).astype(float)
    kind = bias.kind_of(verify).where(single, "comparison")
    return pd.DataFrame({"kind": kind, "yes": verify["yes"], "normal": first.where(single)})


def _percent(value: float, n: float, low: float, high: float) -> dict[str, float]:
    return {"value": 100 * value, "n": n, "ci_low": 100 * low, "ci_high": 100 * high}

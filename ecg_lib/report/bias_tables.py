"""Cells of the tables about biased questions: Table 1, question-only accuracy, the audit.

Proportions are in percent, as in every result table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ecg_lib.questions import bias
from ecg_lib.questions.reasoning_benchmark import NAME
from ecg_lib.questions.sampling_arithmetic import FINDING, IS_NORMAL, MEAN, NORMAL
from ecg_lib.questions.worth import BITS

KINDS = ("broad", "specific", "noise")
Cells = list[dict[str, Any]]


def table1_cells(rows: pd.DataFrame, normal: pd.Series, paper: pd.DataFrame) -> Cells:
    """Return the share of normal ECGs for each question the paper prints, then for each kind.

    The paper's broad questions ask whether anything is wrong. Whether an ECG is normal has a row
    of its own: its "yes" means their "no", so the quota on answers selects other ECGs for it.

    Parameters
    ----------
    rows : DataFrame
        Question rows, usually those of train.
    normal : Series of bool
        Indexed by ecg_id.
    paper : DataFrame
        The published table: row = question, column = kind. A question that `rows` never ask gets
        value NaN and n = 0.
    """
    printed = paper[["row", "column"]].set_axis(["question", "kind"], axis=1)
    each = bias.normal_ratio(rows, normal).drop(columns="kind")
    each = printed.merge(each, how="left", on="question").fillna({"n": 0})
    well = rows["template_id"].isin(bias.asks_if_well())
    whole = bias.normal_ratio_by_kind(rows[~well], normal)
    whole = whole.assign(question="all " + whole["kind"] + " questions")
    whole = whole[whole["kind"].isin(KINDS)]
    both = [each, whole]
    if well.any():
        both.append(bias.normal_ratio_by_kind(rows[well], normal).assign(question=IS_NORMAL))
    both = pd.concat(both)
    return [_cell(r.question, r.kind, r.ratio, r.n, r.ci_low, r.ci_high) for r in both.itertuples()]


def predicted_cells(
    predicted: pd.DataFrame, rows: pd.DataFrame, normal: pd.Series, paper: pd.DataFrame
) -> Cells:
    """Return Table 1 three times: predicted by arithmetic, counted in our rows, and published.

    Parameters
    ----------
    predicted : DataFrame
        Result of :func:`ecg_lib.questions.sampling_arithmetic.predicted_table1`.
    rows : DataFrame
        Question rows, usually those of train.
    normal : Series of bool
        Indexed by ecg_id.
    paper : DataFrame
        The published table.
    """
    single = rows[rows["question_type"] == "single-verify"]
    by_key = bias.normal_ratio(single, normal, by="template_key")
    finding = by_key.loc[by_key["template_id"].isin(FINDING), "ratio"]
    whether_normal = single[single["template_id"] == NORMAL].assign(question=IS_NORMAL)
    counted = bias.normal_ratio(pd.concat([single, whether_normal]), normal)
    counted = counted.set_index("question")[["ratio", "n", "ci_low", "ci_high"]]
    counted.loc[MEAN] = [finding.mean(), math.nan, math.nan, math.nan]
    published = paper.set_index("row")["value"] / 100
    cells = []
    for r in predicted.itertuples():
        cells.append(_cell(r.row, "by the quota", r.expected, r.n, r.low, r.high))
        if r.row in counted.index:
            cells.append(_cell(r.row, "counted here", *counted.loc[r.row]))
        if r.row in published.index:
            cells.append(_cell(r.row, "the paper", published[r.row], *3 * [math.nan]))
    return cells


def question_only_cells(
    train: pd.DataFrame, tests: Mapping[str, pd.DataFrame], normal: pd.Series | None = None
) -> Cells:
    """Return the accuracy without the ECG on several tests (name -> rows), skipping empty ones.

    With `normal` (by ecg_id), also return the accuracy of readers that are told the severity.
    """
    return [
        _cell(f"{r.method}, {name}", r.question_type, r.value, r.n, r.ci_low, r.ci_high)
        for name, rows in tests.items()
        if len(rows)
        for r in bias.question_only(train, rows, normal).itertuples()
    ]


def benchmark_cells(floor: pd.DataFrame) -> Cells:
    """Convert :func:`ecg_lib.questions.reasoning_benchmark.question_floor` to cells, if any."""
    return [
        _cell(f"{r.reader}, {NAME}", r.kind, r.value, r.n, r.ci_low, r.ci_high)
        for r in floor.itertuples()
    ]


def audit_cells(by_kind: pd.DataFrame) -> Cells:
    """Convert :func:`ecg_lib.questions.audit.audit_methods` by kind to cells; n counts rows."""
    return [
        _cell(f"{r.kind}, {r.method}", *cell)
        for r in by_kind.itertuples()
        for cell in (
            ("yes", r.yes_rate, r.n, r.yes_low, r.yes_high),
            ("normal", r.normal_ratio, r.n, r.normal_low, r.normal_high),
        )
    ]


def worlds_cells(table: pd.DataFrame) -> Cells:
    """Convert :func:`ecg_lib.questions.worth.worth_of_worlds` to cells: accuracy in %, and bits."""
    return [
        {
            "row": f"{r.world}: {r.remedy}",
            "column": r.reader,
            "value": r.value if r.reader == BITS else 100 * r.value,
            "n": r.n,
        }
        for r in table.itertuples()
    ]


def _cell(row: str, column: str, value: float, n: float, low: float, high: float) -> dict[str, Any]:
    percent = {"value": 100 * value, "n": n, "ci_low": 100 * low, "ci_high": 100 * high}
    return {"row": row, "column": column, **percent}

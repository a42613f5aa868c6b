"""What the replies of a blind test show: accuracies, drops and the behaviour of P(yes).

Each way of weighing the questions (`weighing`) is a column of the table, and each kind of question.
A drop is the accuracy that is lost with something else in place of the ECG. Intervals come from a
bootstrap over patients; drops are paired by question.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_lib.baselines.anchors import ANCHORS
from ecg_lib.blind_test.blind_plan import Plan
from ecg_lib.blind_test.conditions import OWN, PANEL, REWORDED, STAND_INS
from ecg_lib.blind_test.replies import (
    FAILED,
    MISSING,
    READ,
    STATES,
    UNREADABLE,
    read_open,
    read_yes_no,
)
from ecg_lib.blind_test.weighing import ALL, weights
from ecg_lib.evaluation.exact_match import normalised_set
from ecg_lib.evaluation.severity_drops import drop_row
from ecg_lib.evaluation.zero_shot import rank_correlation
from ecg_lib.intervals import Estimate, auc_over_seeds, counts_of
from ecg_lib.questions.vocabulary import NO, YES, answer_text, normalise

COLUMNS = ["row", "column", "value", "n", "ci_low", "ci_high", "unit"]
PERCENT = "%"
_BINS = 10


def read_replies(plan: Plan, replies: pd.DataFrame) -> pd.DataFrame:
    """Return each request with the answer that was read from its reply.

    Parameters
    ----------
    replies : DataFrame
        From `ask_all`, in the order of `plan.requests`.

    Returns
    -------
    DataFrame
        The requests with `answer` (text, "" if there is none), `state` (one of `STATES`), `p_yes`
        and, except in the panel, `right`.
    """
    table = plan.requests.assign(
        text=replies["text"].to_numpy(), p_yes=replies["p_yes"].to_numpy(float)
    )
    errors = replies["error"].fillna("").to_numpy()
    closed, gold = plan.rows["closed"].to_dict(), plan.rows["answer"].to_dict()
    known = {normalise(answer_text(labels)) for labels in plan.rows["answer"]}
    answers, states, right = [], [], []
    for row, error in zip(table.itertuples(), errors, strict=True):
        text = str(row.text)
        if error:
            answer, state = "", MISSING if error == MISSING else FAILED
        elif row.condition == PANEL or closed[row.row_id]:
            answer, state = read_yes_no(text)
            if state == UNREADABLE and normalise(text) in known:  # right for another question
                answer, state = text.strip(), READ
        else:
            answer, state = read_open(text)
        answers.append(answer)
        states.append(state)
        # the panel's answers need not be known
        right.append(row.condition != PANEL and normalised_set(answer, gold[row.row_id]))
    return table.assign(answer=answers, state=states, right=right)


def blind_table(
    plan: Plan, answered: pd.DataFrame, model: str, resamples: int = 1000
) -> pd.DataFrame:
    """Measure a model and the anchors.

    Parameters
    ----------
    answered : DataFrame
        From `read_replies`.
    model : str
        The model's name in the table.

    Returns
    -------
    DataFrame
        `row` ("<who>, own ECG", "<who>, random drop", ...; "<model>, <measure>"), `column`,
        `value`, `n` (questions), `ci_low`, `ci_high`, `unit` ("%" or "").
    """
    cells = []
    for column, weight in weights(plan.rows).items():
        for who, right in _right(plan, answered, model, column).items():
            cells += _accuracy_and_drops(who, column, right, weight, plan, resamples)
    cells += _behaviour(plan, answered, model, resamples)
    return pd.DataFrame(cells, columns=COLUMNS)


def weighted_mean(
    values: NDArray, weight: NDArray, patients: NDArray, resamples: int, seed: int
) -> Estimate:
    """Return a weighted mean with a bootstrap interval over patients."""
    used = weight > 0
    if not used.any():
        return Estimate.none()
    values, weight = values[used].astype(float), weight[used]
    code = np.unique(patients[used], return_inverse=True)[1]
    sums, sizes = np.bincount(code, weight * values), np.bincount(code, weight)
    drawn = np.random.default_rng(seed).integers(0, len(sums), size=(resamples, len(sums)))
    counts = counts_of(drawn, len(sums))  # (resamples, patients)
    draws = (counts @ sums) / (counts @ sizes)
    return Estimate.of((weight * values).sum() / weight.sum(), draws, int(used.sum()))


def _right(
    plan: Plan, answered: pd.DataFrame, model: str, column: str
) -> dict[str, dict[str, pd.Series]]:
    """Return who was right with what: name -> condition -> Series of float by row_id."""
    own = answered[answered["condition"].isin((OWN, *STAND_INS))].assign(who=model)
    learned = column if (plan.anchors["column"] == column).any() else ALL
    anchors = plan.anchors[plan.anchors["column"] == learned]
    both = pd.concat([own[["who", "condition", "row_id", "right"]], anchors])
    return {
        who: {
            str(condition): part.set_index("row_id")["right"].astype(float)
            for condition, part in both[both["who"] == who].groupby("condition")
        }
        for who in (model, *ANCHORS)
        if (both["who"] == who).any()
    }


def _accuracy_and_drops(
    who: str,
    column: str,
    right: Mapping[str, pd.Series],
    weight: pd.Series,
    plan: Plan,
    resamples: int,
) -> list[dict]:
    cells = []
    for condition in (OWN, *STAND_INS):
        if condition not in right:
            continue
        ids = right[condition].index  # a matched donor needs a known severity
        values = right[OWN].loc[ids]
        row = f"{who}, {OWN}"
        if condition != OWN:
            values, row = values - right[condition], drop_row(who, condition)
        patients = plan.rows["patient"].loc[ids].to_numpy()
        found = weighted_mean(
            values.to_numpy(), weight.loc[ids].to_numpy(), patients, resamples, plan.seed
        )
        cells.append(_cell(row, column, found))
    return cells


def _behaviour(plan: Plan, answered: pd.DataFrame, model: str, resamples: int) -> list[dict]:
    """Return cells on P(yes), on wordings, and on how replies were read."""
    cells = []
    by_condition = dict(iter(answered.groupby("condition")))
    own = by_condition[OWN].set_index("row_id").loc[plan.rows.index]
    asked = plan.rows[plan.rows["closed"]]
    p_yes = own.loc[asked.index, "p_yes"]
    if len(asked) and p_yes.notna().mean() > 0.5:
        known = p_yes.dropna()
        yes = (asked.loc[known.index, "answer"].str[0] == YES).to_numpy()
        patients = asked.loc[known.index, "patient"].to_numpy()
        auc = auc_over_seeds(yes, known.to_numpy(), resamples, plan.seed, groups=patients)
        cells.append(_cell(f"{model}, AUC of P(yes)", ALL, auc))
        wrong = (known.to_numpy() - yes) ** 2
        brier = weighted_mean(wrong, np.ones(len(wrong)), patients, resamples, plan.seed)
        cells.append(_cell(f"{model}, Brier score", ALL, brier, ""))
        for name in (OWN, *STAND_INS):
            if name in by_condition:
                part = by_condition[name].set_index("row_id")["p_yes"].reindex(asked.index).dropna()
                truth = (asked.loc[part.index, "answer"].str[0] == YES).to_numpy(float)
                value = calibration_error(part.to_numpy(), truth)
                cells.append(
                    _plain(f"{model}, calibration error, {name}", value, len(part), PERCENT)
                )
    if PANEL in by_condition:
        cells += _panel_cell(by_condition[PANEL], model)
    if REWORDED in by_condition:
        part = by_condition[REWORDED].set_index("row_id")
        same = (part["answer"] == own.loc[part.index, "answer"]) & (part["answer"] != "")
        patients = plan.rows["patient"].loc[part.index].to_numpy()
        found = weighted_mean(
            same.to_numpy(float), np.ones(len(part)), patients, resamples, plan.seed
        )
        cells.append(_cell(f"{model}, same answer to another wording", ALL, found))
    share = answered["state"].value_counts(normalize=True)
    cells += [
        _plain(f"{model}, replies {state}", 100 * share.get(state, 0.0), len(answered), PERCENT)
        for state in STATES
        if share.get(state, 0.0) > 0 or state == STATES[0]
    ]
    return cells


def _panel_cell(panel: pd.DataFrame, model: str) -> list[dict]:
    """Return the mean rank correlation of the panel's questions over ECGs."""
    score = panel["p_yes"].where(panel["p_yes"].notna(), panel["answer"].map({YES: 1.0, NO: 0.0}))
    wide = panel.assign(score=score, ecg=panel["ecg_id"].str[0]).pivot_table(
        index="ecg", columns="row_id", values="score", aggfunc="first"
    )
    wide = wide.dropna()
    wide = wide.loc[:, wide.nunique() > 1]
    value = rank_correlation(wide) if wide.shape[1] > 1 and len(wide) > 2 else np.nan
    return [_plain(f"{model}, rank correlation of findings", value, len(wide), "")]


def calibration_error(p_yes: NDArray, yes: NDArray) -> float:
    """Return the expected calibration error over ten bins of equal width, percent."""
    at = np.minimum((p_yes * _BINS).astype(int), _BINS - 1)
    gap = np.bincount(at, p_yes - yes, minlength=_BINS)
    return float(100 * np.abs(gap).sum() / max(len(p_yes), 1))


def _cell(row: str, column: str, found: Estimate, unit: str = PERCENT) -> dict:
    factor = 100 if unit == PERCENT else 1
    return {
        "row": row,
        "column": column,
        "value": factor * found.value,
        "n": found.n,
        "ci_low": factor * found.ci_low,
        "ci_high": factor * found.ci_high,
        "unit": unit,
    }


def _plain(row: str, value: float, n: int, unit: str) -> dict:
    nothing = {"ci_low": np.nan, "ci_high": np.nan}
    return {"row": row, "column": ALL, "value": value, "n": n, **nothing, "unit": unit}

"""Audit what each way of de-biasing (`ecg_lib.questions.debias`) does to yes/no questions.

Two things can give an answer away: how often a question is answered yes, P(yes | question), and the
severity of the patients it is asked about (normal or not), P(normal | question). The audit shows
both before and after each method. No method makes both equal for all questions.
"""

import math

import numpy as np
import pandas as pd
from scipy.stats import entropy

from ecg_lib.errors import DataError
from ecg_lib.intervals import wilson_limits
from ecg_lib.questions.bias import asks_if_well, kind_of
from ecg_lib.questions.debias import (
    base_share,
    effective_n,
    pair_verify,
    severity_weights,
    stratify_verify,
    unpaired_control,
    yes_or_no,
)

METHODS = ("as asked", "pairs", "strata", "weights", "control")
KINDS = ("broad", "specific", "noise", "other", "comparison")
# The share that a method fixes by design. It is not an estimate, so it gets no interval.
_FIXED = {"pairs": "yes", "strata": "normal", "weights": "normal"}
_SHARES = ("yes_rate", "yes_low", "yes_high", "normal_ratio", "normal_low", "normal_high")


def audit(before: pd.DataFrame, after: pd.DataFrame, normal: pd.Series) -> pd.DataFrame:
    """Compare every verify question before and after pairing.

    Parameters
    ----------
    before, after : DataFrame
        Rows passed to and returned by `pair_verify`.
    normal : Series of bool
        Indexed by ecg_id.

    Returns
    -------
    DataFrame
        `question_key` (template question and type), `question` (one of its wordings), `n_yes,
        n_no` (before), `pairs`, and `yes_rate` and `normal_ratio` before and after. The
        normal ratio exists for questions about one ECG only; NaN marks what does not exist.
    """

    def marginals(rows: pd.DataFrame) -> pd.DataFrame:
        verify = yes_or_no(rows)
        first = verify.ecg_id.str[0].map(normal).astype(float)
        verify = verify.assign(normal=first.where(verify.question_type.str.startswith("single")))
        groups = verify.groupby("key")
        return pd.DataFrame(
            {
                "question": groups.question.first(),
                "n": groups.size(),
                "n_yes": groups.yes.sum(),
                "normal_ratio": groups.normal.mean(),
            }
        )

    old, new = marginals(before), marginals(after).reindex(marginals(before).index)
    return (
        pd.DataFrame(
            {
                "question": old.question,
                "n_yes": old.n_yes,
                "n_no": old.n - old.n_yes,
                "pairs": new.n_yes.fillna(0).astype(int),
                "yes_rate_before": old.n_yes / old.n,
                "yes_rate_after": new.n_yes / new.n,
                "normal_ratio_before": old.normal_ratio,
                "normal_ratio_after": new.normal_ratio,
            }
        )
        .rename_axis("question_key")
        .reset_index()
    )


def audit_methods(
    rows: pd.DataFrame,
    normal: pd.Series,
    seed: int,
    by: str = "kind",
    base: float | None = None,
) -> pd.DataFrame:
    """Compare verify questions as asked and under every method, one row per (group, method).

    Parameters
    ----------
    rows : DataFrame
        Question rows of one split.
    normal : Series of bool
        Indexed by ecg_id.
    seed : int
        Random seed of the pairs, the strata and the control.
    by : {"kind", "question"}
        Group all questions of a kind (those about two ECGs are the kind "comparison"), or keep each
        question apart. Grouped by kind, answers to "is it normal?" are reversed, so that yes means
        "not normal" in all broad questions.
    base : float, optional
        P(normal) that strata and weights aim at; `debias.base_share` of `rows` by default.

    Returns
    -------
    DataFrame
        `group, kind, method, n, n_effective`, and `yes_rate, yes_low, yes_high` and `normal_ratio,
        normal_low, normal_high`: shares with 95 % Wilson intervals. The methods are

        * "as asked": all rows answered yes or no;
        * "pairs";
        * "strata" and "weights": backdoor adjustment for severity, without the questions that it
          cannot adjust;
        * "control": as many rows as the pairs, drawn without pairing.

        The `n` rows are worth `n_effective` rows of equal weight, on which the intervals rest. An
        interval is NaN where the method fixes the share. Everything is NaN if no row is left, and
        the normal ratio for two ECGs.

    Raises
    ------
    DataError
        `by` is unknown or `base` invalid.
    """
    if by not in ("kind", "question"):
        raise DataError(f"audit by {by!r}: unknown; use kind or question")
    paired, _ = pair_verify(rows, seed)
    base = base_share(rows, normal) if base is None else base
    verify = yes_or_no(rows)
    weights = severity_weights(verify, normal, base, one_stratum="drop")
    sets = {
        "as asked": verify,
        "pairs": yes_or_no(paired),
        "strata": yes_or_no(stratify_verify(rows, normal, seed, base)),
        "weights": verify.assign(weight=weights).loc[weights > 0],
        "control": yes_or_no(unpaired_control(rows, len(paired), seed)),
    }
    groups = _named(verify, normal, by)[["group", "kind"]].drop_duplicates()
    tables = []
    for method in METHODS:
        shares = _shares(_named(sets[method], normal, by), _FIXED.get(method))
        tables.append(groups.merge(shares, how="left", on="group").assign(method=method))
    table = pd.concat(tables, ignore_index=True).fillna({"n": 0, "n_effective": 0})
    order = {"kind": KINDS.index, "method": METHODS.index}
    table = table.assign(n=table.n.astype(int)).sort_values(
        ["kind", "group", "method"], key=lambda c: c.map(order.get(c.name, str)), ignore_index=True
    )
    first = ["group", "kind", "method"]
    return table[[*first, *(c for c in table.columns if c not in first)]]


def audit_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Summarize how much questions about one ECG still give away under each method.

    Parameters
    ----------
    table : DataFrame
        From `audit_methods`, by question.

    Returns
    -------
    DataFrame indexed by method
        `questions` and `rows` left; `effective` rows; `yes_spread` and `normal_spread`, the
        standard deviation of each share between questions; `yes_bits` and `normal_bits`, the mutual
        information of question and answer, and of question and severity; and `chance_bits`, about
        what chance alone yields with so few rows.
    """
    one = table[(table.kind != "comparison") & (table.n > 0)].dropna(subset="normal_ratio")
    lines = {}
    for method, part in one.groupby("method"):
        line = {
            "questions": len(part),
            "rows": int(part.n.sum()),
            "effective": part.n_effective.sum(),
        }
        for name, column in (("yes", "yes_rate"), ("normal", "normal_ratio")):
            mean = np.average(part[column], weights=part.n)
            line[f"{name}_spread"] = math.sqrt(
                np.average((part[column] - mean) ** 2, weights=part.n)
            )
            within = np.average(_bits(part[column]), weights=part.n)
            line[f"{name}_bits"] = max(0.0, float(_bits(mean) - within))
        line["chance_bits"] = (len(part) - 1) / (2 * line["effective"] * math.log(2))
        lines[method] = line
    return pd.DataFrame(lines).T.reindex([m for m in METHODS if m in lines])


def _bits(share: pd.Series | float) -> np.ndarray:
    """Return the entropy of yes/no in bits, given the share of yes."""
    share = np.clip(share, 0, 1)
    return entropy(np.stack([share, 1 - share]), base=2)


def _named(verify: pd.DataFrame, normal: pd.Series, by: str) -> pd.DataFrame:
    """Return verify rows with group, kind, yes, normal (NaN for two ECGs) and weight."""
    single = verify.question_type.str.startswith("single")
    kind = kind_of(verify).where(single, "comparison")
    first = verify.ecg_id.str[0].map(normal).astype(float)
    well = verify.template_id.isin(asks_if_well()) & (by == "kind")
    return pd.DataFrame(
        {
            "group": kind if by == "kind" else verify.key,
            "kind": kind,
            "yes": verify.yes ^ well,
            "normal": first.where(single),
            "weight": verify.get("weight", 1.0),
        }
    )


def _shares(named: pd.DataFrame, fixed: str | None) -> pd.DataFrame:
    """Compute weighted shares of yes and of normal per group, with intervals unless `fixed`."""
    lines = []
    for group, part in named.groupby("group"):
        line = {"group": group, "n": len(part), "n_effective": effective_n(part.weight)}
        for name, share in (("yes", "yes_rate"), ("normal", "normal_ratio")):
            known = part.dropna(subset=name)
            n = effective_n(known.weight)
            value = np.average(known[name], weights=known.weight) if n else np.nan
            low, high = wilson_limits(value * n, n) if n and name != fixed else (np.nan, np.nan)
            line |= {share: value, f"{name}_low": low, f"{name}_high": high}
        lines.append(line)
    numbers = ["n", "n_effective", *_SHARES]
    return pd.DataFrame(lines, columns=["group", *numbers]).astype(dict.fromkeys(numbers, float))

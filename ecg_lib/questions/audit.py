"""What the ways of de-biasing do to verify questions: both marginals, before and after each.

Two things can give an answer away: P(yes | question), and the severity of those who are asked,
P(normal | question). No method levels both.
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
# Made so, not estimated: no interval.
_FIXED = {"pairs": "yes", "strata": "normal", "weights": "normal"}
_SHARES = ("yes_rate", "yes_low", "yes_high", "normal_ratio", "normal_low", "normal_high")


def audit(before: pd.DataFrame, after: pd.DataFrame, normal: pd.Series) -> pd.DataFrame:
    """Every verify question before and after pairing.

    Parameters
    ----------
    before, after : DataFrame
        Rows given to and got from :func:`pair_verify`.
    normal : Series of bool
        Indexed by ecg_id.

    Returns
    -------
    DataFrame
        ``question_key`` (template question and type), ``question`` (one of its wordings), ``n_yes,
        n_no`` (before), ``pairs``, and ``yes_rate`` and ``normal_ratio`` before and after. The
        normal ratio is of single questions only; NaN marks what does not exist.
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
    """Verify questions as asked and under every method, one row a (group, method).

    Parameters
    ----------
    rows : DataFrame
        Question rows of one split.
    normal : Series of bool
        Indexed by ecg_id.
    seed : int
        Of pairs, strata and the control.
    by : {"kind", "question"}
        Groups: all questions of a kind together ("comparison": two ECGs), or each question. Among
        broad ones, "normal?" counts the other way round, so that yes says "not normal" in all.
    base : float, optional
        P(normal) that strata and weights aim at; ``debias.base_share`` of ``rows`` by default.

    Returns
    -------
    DataFrame
        ``group, kind, method``: "as asked" (yes and no, without "not sure"); "pairs"; "strata" and
        "weights" (backdoor adjustment by severity, without the questions it cannot adjust);
        "control" (as many rows as the pairs, drawn as they come). ``n`` rows, as good as
        ``n_effective`` of equal weight; ``yes_rate, yes_low, yes_high`` and ``normal_ratio,
        normal_low, normal_high``: shares and 95 % Wilson intervals of ``n_effective`` rows. An
        interval is NaN where the method fixes the share; everything is NaN where no row is left,
        and the normal ratio where there are two ECGs.

    Raises
    ------
    DataError
        ``by`` is unknown or ``base`` impossible.
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
    """How much the question still gives away under each method, questions about one ECG together.

    Parameters
    ----------
    table : DataFrame
        Of :func:`audit_methods` by question.

    Returns
    -------
    DataFrame indexed by method
        ``questions`` and ``rows`` left, ``effective`` rows; ``yes_spread`` and ``normal_spread``:
        standard deviation of the shares between questions; ``yes_bits`` and ``normal_bits``: mutual
        information of question and answer, of question and severity. In so few rows chance alone
        makes about ``chance_bits``.
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
    """Entropy of yes/no in bits."""
    share = np.clip(share, 0, 1)
    return entropy(np.stack([share, 1 - share]), base=2)


def _named(verify: pd.DataFrame, normal: pd.Series, by: str) -> pd.DataFrame:
    """Verify rows with group, kind, yes, normal (NaN where there are two ECGs) and weight."""
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
    """Weighted shares of yes and of normal by group, with intervals unless ``fixed``."""
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

"""Adjust the share of yes to a question for severity (backdoor adjustment, the paper's equation 6).

Severity is how ill the patient is: normal or not. The adjustment gives P(yes | do(question)) if
severity alone decided who was asked. It does not if rows were chosen by their answer, as in ECG-QA,
because conditioning on severity does not block that selection.
"""

import pandas as pd

from ecg_lib.questions.bias import kind_of
from ecg_lib.questions.debias import yes_or_no


def adjusted(rows: pd.DataFrame, normal: pd.Series, base: float) -> pd.DataFrame:
    """Compute the share of yes per verify question about one ECG, as asked and adjusted.

    Parameters
    ----------
    rows : DataFrame
        Question rows; only those about one ECG that are answered yes or no count.
    normal : Series of bool
        Severity, indexed by ecg_id: normal or not.
    base : float
        P(normal) if nobody chooses whom to ask, in [0, 1].

    Returns
    -------
    DataFrame
        Indexed by question_id: `kind`; `P(normal | q)`; `P(yes | q, normal)` and
        `P(yes | q, not normal)`, NaN for a stratum that was not asked; `P(yes | q)` as asked; and
        `P(yes | do(q))`, the sum over both strata weighted by `base` and 1 - `base`, NaN if one
        was not asked.
    """
    told = yes_or_no(rows.loc[rows.question_type == "single-verify"])
    told = told.assign(kind=kind_of(told), well=told.ecg_id.str[0].map(normal).astype(bool))
    asked = told.groupby("question_id")
    strata = told.groupby(["question_id", "well"]).yes.mean().unstack()
    strata = strata.reindex(columns=[True, False])
    return pd.DataFrame(
        {
            "kind": asked.kind.first(),
            "P(normal | q)": asked.well.mean(),
            "P(yes | q, normal)": strata[True],
            "P(yes | q, not normal)": strata[False],
            "P(yes | q)": asked.yes.mean(),
            "P(yes | do(q))": strata[True] * base + strata[False] * (1 - base),
        }
    )

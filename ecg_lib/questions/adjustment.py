"""Backdoor adjustment (equation 6 of the paper) of how often a question is answered yes.

It gives P(yes | do(question)) where severity alone decided who was asked. Where rows were chosen by
their answer, as in ECG-QA, it does not: no stratum of severity blocks that choice.
"""

import pandas as pd

from ecg_lib.questions.bias import kind_of
from ecg_lib.questions.debias import yes_or_no


def adjusted(rows: pd.DataFrame, normal: pd.Series, base: float) -> pd.DataFrame:
    """Each verify question about one ECG: answered yes as asked, and adjusted for severity.

    Parameters
    ----------
    rows : DataFrame
        Question rows; only those about one ECG count, answered yes or no.
    normal : Series of bool
        Severity by ecg_id: normal or not.
    base : float
        P(normal) where nobody chooses whom to ask, in [0, 1].

    Returns
    -------
    DataFrame
        By question_id: ``kind``; ``P(normal | q)``; ``P(yes | q, normal)`` and ``P(yes | q, not
        normal)``, NaN in a stratum that was not asked; ``P(yes | q)`` as asked; and ``P(yes |
        do(q))``, the sum over both strata weighed by ``base``, NaN where one was not asked.
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

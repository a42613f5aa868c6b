"""AUC of P(yes): how well it separates yes from no, whatever share of yes a model expects.

Accuracy also depends on the threshold. An arm trained on two no for each yes says no too often in
a test with equally many of both; the AUC of its P(yes) is unaffected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ecg_lib.evaluation.differences import short_types
from ecg_lib.evaluation.random_ecg import VERIFY
from ecg_lib.evaluation.zero_shot import auc_table


def verify_auc(
    p_yes: Mapping[str, pd.Series],
    rows: pd.DataFrame,
    patients: pd.Series,
    columns: Sequence[str] = VERIFY,
    resamples: int = 1000,
    seed: int = 0,
    min_positives: int = 10,
) -> pd.DataFrame:
    """Return the AUC of each model's P(yes) over the yes/no questions of each type.

    Parameters
    ----------
    p_yes : mapping of model to (n,) Series of float
        P(yes), with the index of `rows`.
    rows : (n,) DataFrame
        Question rows.
    patients : Series of str
        patient_id by ecg_id. The bootstrap draws whole patients; a comparison belongs to the
        patient of its first ECG.
    min_positives : int
        With fewer yes or fewer no the AUC is NaN.

    Returns
    -------
    DataFrame
        row (model), column (question type), value, n (rows whose answer is yes), ci_low, ci_high;
        percent.
    """
    kind, yes = short_types(rows), rows["answer"].str[0].eq("yes").astype("boolean")
    targets = pd.DataFrame({name: yes.where(kind == name) for name in columns})
    groups = rows["ecg_id"].str[0].map(patients)
    cells = [
        auc_table(
            pd.DataFrame(dict.fromkeys(columns, p.loc[rows.index])),
            targets,
            resamples,
            seed,
            min_positives,
            groups,
        ).assign(row=who)
        for who, p in p_yes.items()
    ]
    return pd.concat(cells, ignore_index=True)

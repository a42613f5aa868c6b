"""Ways of weighing the questions of a blind test.

all questions     as they were drawn
do(question)      each yes/no question counts as many yes as no, so its words tell nothing
within severity   the same among equally ill patients, so illness tells nothing either
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ecg_lib.questions.vocabulary import YES

ALL, DO, WITHIN = "all questions", "do(question)", "within severity"


def weights(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the weight of each row in each column of the table; a column may have no row.

    The kinds of question follow, if there are several.
    """
    yes = rows["answer"].str[0] == YES
    told = rows["closed"] & (rows["severity"] != "")
    found = {
        ALL: pd.Series(1.0, index=rows.index),
        DO: _balanced(yes, [rows["key"]], rows["closed"]),
        WITHIN: _balanced(yes, [rows["key"], rows["severity"]], told),
    }
    kinds = sorted(rows["kind"].unique())
    if len(kinds) > 1:
        found |= {kind: (rows["kind"] == kind).astype(float) for kind in kinds}
    return {name: weight for name, weight in found.items() if weight.sum() > 0}


def _balanced(yes: pd.Series, groups: list[pd.Series], used: pd.Series) -> pd.Series:
    """Return weights under which each group has as many yes as no, as many as of the rarer."""
    keys = [group.to_numpy() for group in groups]
    n_yes = (yes & used).groupby(keys).transform("sum").to_numpy()
    n_no = (~yes & used).groupby(keys).transform("sum").to_numpy()
    pairs = np.minimum(n_yes, n_no)
    own = np.where(yes, n_yes, n_no)
    weight = np.divide(pairs, own, out=np.zeros(len(yes)), where=own > 0)
    return pd.Series(np.where(used, weight, 0.0), index=yes.index)

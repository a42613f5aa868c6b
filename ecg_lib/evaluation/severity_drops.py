"""What an answerer loses with each stand-in for the ECG, by question type.

Four stand-ins: a random patient's ECG, one as ill, a flat line, noise. With a random one an
answerer loses what it reads, illness included; with one as ill it loses what it reads beyond
illness. The difference of the two drops is what it owes to noticing illness.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ecg_lib.errors import DataError
from ecg_lib.evaluation.differences import difference_table
from ecg_lib.evaluation.random_ecg import VERIFY

OWN, RANDOM, MATCHED = "own ECG", "random", "matched"
GAP = "random - matched drop"


def drop_row(who: str, donor: str) -> str:
    """The table's row of what an answerer loses with a stand-in."""
    return f"{who}, {donor} drop"


def severity_drops(
    right: Mapping[str, Mapping[str, pd.Series]],
    rows: pd.DataFrame,
    patients: pd.Series,
    columns: Sequence[str] = VERIFY,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Accuracy with the own ECG, the drop with each stand-in, and the gap of two drops.

    Parameters
    ----------
    right : answerer -> stand-in (`OWN`, `RANDOM`, `MATCHED`, ...) -> right or not, with the index
        of `rows`
    patients : patient_id by ecg_id; whole patients are drawn, those of the own (first) ECG

    Returns
    -------
    DataFrame: row ("<answerer>, own ECG", "<answerer>, <stand-in> drop", "<answerer>, random -
    matched drop"), column (a question type, "average" or "all"), value, n, ci_low, ci_high.

    Raises
    ------
    DataError
        An answerer lacks `OWN`.
    """
    groups = rows["ecg_id"].str[0].map(patients)
    nothing = pd.Series(0.0, index=rows.index)
    cells = []
    for who, by_donor in right.items():
        if OWN not in by_donor:
            raise DataError(f"severity drops: {who} has no answers about its {OWN}; score them too")
        own = by_donor[OWN]
        pairs = {f"{who}, {OWN}": (own, nothing)}
        pairs |= {
            drop_row(who, donor): (own, other) for donor, other in by_donor.items() if donor != OWN
        }
        if {RANDOM, MATCHED} <= set(by_donor):  # (own - random) - (own - matched)
            pairs[f"{who}, {GAP}"] = by_donor[MATCHED], by_donor[RANDOM]
        cells += [
            difference_table(a, b, rows, columns, resamples, seed, groups).assign(row=row)
            for row, (a, b) in pairs.items()
        ]
    return pd.concat(cells, ignore_index=True)

"""Accuracy drops with four stand-ins for the ECG, by question type.

The stand-ins are a random patient's ECG, another patient's ECG that is as ill, a flat line and
noise. With a random ECG a model loses everything it reads, including whether the ECG is ill. With
an ECG that is as ill it loses only what it reads beyond illness. The difference between these two
drops is what the model gains by noticing illness.
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
    """Return the row name of a model's drop with one stand-in."""
    return f"{who}, {donor} drop"


def severity_drops(
    right: Mapping[str, Mapping[str, pd.Series]],
    rows: pd.DataFrame,
    patients: pd.Series,
    columns: Sequence[str] = VERIFY,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return accuracy with the own ECG, the drop with each stand-in, and the gap of two drops.

    Parameters
    ----------
    right : mapping of model to mapping of stand-in to (n,) Series of bool
        Whether each answer is right, with the index of `rows`. Stand-ins are `OWN` (required),
        `RANDOM`, `MATCHED` and any others.
    rows : (n,) DataFrame
        Question rows about the own ECGs.
    patients : Series of str
        patient_id by ecg_id. The bootstrap draws whole patients; a comparison belongs to the
        patient of its first ECG.

    Returns
    -------
    DataFrame
        row ("<model>, own ECG", "<model>, <stand-in> drop", "<model>, random - matched drop"),
        column (a question type, "average" or "all"), value, n, ci_low, ci_high; percent.

    Raises
    ------
    DataError
        A model has no answers for `OWN`.
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

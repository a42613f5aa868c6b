"""Contents of the prepared cohorts: cells of the cohort table, label counts, clear examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ecg_lib.data.record import SPLITS
from ecg_lib.data.store import EcgStore
from ecg_lib.errors import DataError
from ecg_lib.knowledge.findings import is_certain

_HIGH_MV = 2.2  # baselines of neighbouring leads are 2.5 mV apart on the drawn paper
_TRIED = 50  # signals searched for an example


def cohort_cells(stores: Mapping[str, EcgStore]) -> list[dict[str, Any]]:
    """Return the cells (row, column, value, n) of the cohort table, one row per cohort.

    Ages are in years, shares in percent with one decimal; n counts the ECGs whose age or sex is
    known. What a cohort does not record is NaN. The share of normal ECGs is NaN where the source
    never calls an ECG normal.

    Parameters
    ----------
    stores : mapping
        Title of a cohort -> its store.
    """
    cells = []
    for title, store in stores.items():
        records, counts = store.records, store.manifest["counts"]
        age, normal = records["age"].dropna(), records["normal"]
        female = records.loc[records["sex"] != "", "sex"] == "F"
        values: list[tuple[str, float, float]] = [
            ("ECGs", len(store), float("nan")),
            ("patients", records["patient_id"].nunique(), float("nan")),
            ("median age", age.median(), len(age)),
            ("% female", 100 * female.mean(), len(female)),
            ("% normal", 100 * normal.mean() if normal.any() else float("nan"), float("nan")),
        ]
        values += [(split, counts[split], float("nan")) for split in SPLITS]
        values += [
            (name.replace("_", " "), counts[name], float("nan"))
            for name in ("quarantined", "not_at_hand")
        ]
        cells += [
            {"row": title, "column": column, "value": round(float(value), 1), "n": n}
            for column, value, n in values
        ]
    return cells


def label_counts(store: EcgStore) -> pd.DataFrame:
    """Count the ECGs of each finding (code) in each split, at any likelihood; commonest first."""
    found = store.records[["split"]].assign(code=store.labels.map(list)).explode("code").dropna()
    table = pd.crosstab(found["code"], found["split"])
    table = table.reindex(columns=[s for s in SPLITS if s in table])
    order = table.sum(axis=1).sort_values(ascending=False, kind="stable").index
    return table.loc[order].rename_axis(columns=None)


def clearest(store: EcgStore, *codes: str) -> str:
    """Return the ecg_id of an ECG that shows the first of `codes` in the store and little else.

    The finding is certain. As far as possible, no noise is marked, the rhythm is sinus rhythm, few
    other findings are present, and no lead is so tall that its trace runs into the next one's.

    Raises
    ------
    DataError
        No ECG is certain to show any of the codes.
    """
    certain = store.labels.map(lambda labels: {c for c, p in labels.items() if is_certain(p)})
    for code in codes:
        rows = [row for row, found in enumerate(certain) if code in found]
        if rows:
            rows.sort(
                key=lambda row: (
                    bool(store.attributes.iloc[row].get("noise")),
                    "SR" not in store.labels.iloc[row],
                    len(store.labels.iloc[row]),
                )
            )
            # the first that fits the paper, otherwise the one with the lowest peak
            peak = {row: max(np.abs(store.mv(row)).max(), _HIGH_MV) for row in rows[:_TRIED]}
            return store.records["ecg_id"].iloc[min(peak, key=peak.__getitem__)]
    raise DataError(
        f"{store.folder}: no ECG certainly shows {' or '.join(codes)}; name another finding"
    )

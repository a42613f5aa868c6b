"""A profile's main numbers in one small file, for `dvc metrics show`."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from ecg_lib.disk import write_file
from ecg_lib.evaluation.severity_strata import WITHIN
from ecg_lib.report.reference import MODEL
from ecg_lib.report.tables import read_table

METRICS = "metrics.json"
_OF_ONE = ", S-Verify"  # suffix of rows for yes/no questions about one ECG


def headline(folder: Path) -> dict[str, Any]:
    """Collect a profile's main numbers.

    These are exact match by question type, mean zero-shot AUC by data set, drops with a random
    ECG, and the number of claims by verdict. Two more come from the test in which the question
    says nothing about the answer: each arm's accuracy, and the same balanced among the ill.

    Parameters
    ----------
    folder : Path
        `results/<profile>`.

    Raises
    ------
    DataError
        One of the tables is missing.
    """
    names = ("table3_ecgqa", "table4_zero_shot", "random_ecg_differences")
    table3, table4, apart = (_ours(folder / f"{name}.csv") for name in names)
    claims = pd.read_csv(folder / "claims.csv").drop_duplicates("claim")["verdict"]
    auc = table4[table4["row"].str.startswith(f"{MODEL}, ")].groupby("row", sort=False)["value"]
    neutral, strata = (
        _ours(folder / f"{name}.csv") for name in ("interventional", "within_illness")
    )
    neutral = neutral[neutral["column"] == "S-Verify"].set_index("row")["value"]
    strata = strata[strata["row"].str.endswith(_OF_ONE) & (strata["column"] == WITHIN)]
    strata = strata.set_index(strata["row"].str.removesuffix(_OF_ONE))["value"]
    drops = apart[apart["row"].str.endswith("drop") & (apart["column"] == "average")]
    return {
        "exact match": _plain(table3[table3["row"] == MODEL].set_index("column")["value"]),
        "zero-shot AUC": _plain(auc.mean()),
        "random ECG": _plain(drops.set_index("row")["value"]),
        "interventional, S-Verify": _plain(neutral),
        "balanced within ill, S-Verify": _plain(strata),
        "claims": {verdict: int(n) for verdict, n in claims.value_counts().sort_index().items()},
    }


def write_headline(folder: Path) -> dict[str, Any]:
    """Write `metrics.json` into a profile's results and return its content."""
    found = headline(folder)
    write_file(folder / METRICS, json.dumps(found, indent=1) + "\n")
    return found


def _ours(path: Path) -> pd.DataFrame:
    frame = read_table(path)
    return frame[frame["source"] == "ours"]


def _plain(values: pd.Series) -> dict[str, float]:
    return {name: round(value, 2) for name, value in values.dropna().items()}

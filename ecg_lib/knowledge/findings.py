"""One vocabulary for all cohorts: findings, the maps from each source's codes, zero-shot labels.

The knowledge is in three tables beside this file, for a cardiologist to read and amend:
`findings.csv` (the codes, PTB-XL's, and ECG-QA's words for them), `label_maps.csv` (which of a
source's own codes stand for them) and `zero_shot_labels.csv` (the nine labels of the paper's
Table 4 in each data set's own codes, with their sources).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd

from ecg_lib.errors import DataError

_TABLES = Path(__file__).resolve().parent
KINDS = ("diagnostic", "form", "rhythm")


def is_certain(likelihood: float) -> bool:
    """ECG-QA's rule: 0 (stated without a likelihood) and 100 are certain, all between is not."""
    return likelihood in (0, 100)


def read_table(name: str, columns: list[str]) -> pd.DataFrame:
    """A table of this room as text, its columns checked."""
    table = pd.read_csv(_TABLES / name, dtype=str, keep_default_na=False)
    if list(table.columns) != columns:
        raise DataError(f"{name}: columns must be {', '.join(columns)}")
    return table


@cache
def load_findings() -> pd.DataFrame:
    """Findings indexed by code, columns `name`, `kinds` (tuple), `superclass`, `ecgqa` (bool)."""
    table = read_table("findings.csv", ["code", "name", "kinds", "superclass", "ecgqa"])
    for column in ("code", "name"):
        twice = table[column][table[column].duplicated()]
        if len(twice):
            raise DataError(f"findings.csv: {column} {twice.iloc[0]!r} occurs twice")
    table["kinds"] = [tuple(kinds.split()) for kinds in table["kinds"]]
    if not all(kinds and set(kinds) <= set(KINDS) for kinds in table["kinds"]):
        raise DataError(f"findings.csv: kinds must be among {', '.join(KINDS)}")
    table["ecgqa"] = table["ecgqa"] == "yes"
    return table.set_index("code")


FINDINGS = load_findings()


def name_of(code: str) -> str:
    """ECG-QA's words for a code: `name_of("AFIB")` is "atrial fibrillation"."""
    return FINDINGS.at[code, "name"]


@cache
def transfer_findings() -> pd.DataFrame:
    """Findings that transfer from simulated to real ECGs is measured on.

    Columns `finding`, `codes` (tuple; any of them counts), `prompts` (tuple of texts), `reported`
    ("mean": one of the 14 that are averaged; "beside").
    """
    table = read_table("transfer_findings.csv", ["finding", "codes", "prompts", "reported"])
    table["codes"] = [tuple(codes.split()) for codes in table["codes"]]
    table["prompts"] = [tuple(prompts.split("|")) for prompts in table["prompts"]]
    unknown = {code for codes in table["codes"] for code in codes} - set(FINDINGS.index)
    if unknown:
        raise DataError(f"transfer_findings.csv: code {min(unknown)!r} is not in findings.csv")
    return table

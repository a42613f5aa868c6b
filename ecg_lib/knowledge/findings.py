"""Read the findings, the vocabulary that all cohorts share.

The knowledge is in three tables beside this file, which a cardiologist can read and amend.
`findings.csv` lists the codes (those of PTB-XL) and ECG-QA's words for them. `label_maps.csv` maps
each source's own codes to them. `zero_shot_labels.csv` gives the nine labels of the paper's Table 4
in each data set's own codes, with their sources.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd

from ecg_lib.errors import DataError

_TABLES = Path(__file__).resolve().parent
KINDS = ("diagnostic", "form", "rhythm")


def is_certain(likelihood: float) -> bool:
    """Apply ECG-QA's rule: 0 (stated without a likelihood) and 100 are certain, others are not."""
    return likelihood in (0, 100)


def read_table(name: str, columns: list[str]) -> pd.DataFrame:
    """Read a table of this folder as text.

    Raises
    ------
    DataError
        The columns differ from `columns`.
    """
    table = pd.read_csv(_TABLES / name, dtype=str, keep_default_na=False)
    if list(table.columns) != columns:
        raise DataError(f"{name}: columns must be {', '.join(columns)}")
    return table


@cache
def load_findings() -> pd.DataFrame:
    """Read the table of findings.

    Returns
    -------
    DataFrame
        Indexed by code, with columns `name`, `kinds` (tuple of `KINDS`), `superclass` and `ecgqa`
        (bool).

    Raises
    ------
    DataError
        A code or name occurs twice, or a kind is missing or unknown.
    """
    table = read_table("findings.csv", ["code", "name", "kinds", "superclass", "ecgqa"])
    for column in ("code", "name"):
        twice = table[column][table[column].duplicated()]
        if len(twice):
            raise DataError(f"findings.csv: {column} {twice.iloc[0]!r} occurs twice; keep one")
    table["kinds"] = [tuple(kinds.split()) for kinds in table["kinds"]]
    if not all(kinds and set(kinds) <= set(KINDS) for kinds in table["kinds"]):
        raise DataError(f"findings.csv: give each row kinds from {', '.join(KINDS)}")
    table["ecgqa"] = table["ecgqa"] == "yes"
    return table.set_index("code")


FINDINGS = load_findings()


def name_of(code: str) -> str:
    """Return ECG-QA's words for a code: `name_of("AFIB")` is "atrial fibrillation"."""
    return FINDINGS.at[code, "name"]


@cache
def transfer_findings() -> pd.DataFrame:
    """Read the findings on which transfer from simulated to real ECGs is measured.

    Returns
    -------
    DataFrame
        Columns `finding`, `codes` (tuple; any of them counts), `prompts` (tuple of texts) and
        `reported` ("mean" for the 14 findings that are averaged, "beside" for the others).

    Raises
    ------
    DataError
        A code is not in findings.csv.
    """
    table = read_table("transfer_findings.csv", ["finding", "codes", "prompts", "reported"])
    table["codes"] = [tuple(codes.split()) for codes in table["codes"]]
    table["prompts"] = [tuple(prompts.split("|")) for prompts in table["prompts"]]
    unknown = {code for codes in table["codes"] for code in codes} - set(FINDINGS.index)
    if unknown:
        raise DataError(
            f"transfer_findings.csv: code {min(unknown)!r} is not in findings.csv; use one that is"
        )
    return table

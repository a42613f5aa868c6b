"""Read the nine labels of the paper's Table 4 in each data set's codes (`zero_shot_labels.csv`)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import pandas as pd

from ecg_lib.errors import DataError
from ecg_lib.knowledge.findings import FINDINGS, read_table

ROLES = ("counts", "apart", "blank")
LABEL_TEXT = MappingProxyType(
    {  # the nine labels of Table 4 in words
        "AF": "atrial fibrillation",
        "LBBB": "left bundle branch block",
        "RBBB": "right bundle branch block",
        "LVH": "left ventricular hypertrophy",
        "RVH": "right ventricular hypertrophy",
        "SA": "sinus arrhythmia",
        "SB": "sinus bradycardia",
        "SR": "sinus rhythm",
        "ST": "sinus tachycardia",
    }
)
DATASETS = MappingProxyType(
    {  # first part of an ecg_id -> name of the data set in Table 4
        "ptbxl": "PTB-XL",
        "ludb": "LUDB",
        "chapman_shaoxing": "Shaoxing",
        "ningbo": "Shaoxing",
        "cpsc_2018": "CPSC",
        "cpsc2018": "CPSC",
    }
)


@cache
def zero_shot_table() -> pd.DataFrame:
    """Read which codes of each data set stand for the labels of Table 4, with their sources.

    Returns
    -------
    DataFrame
        Columns `label`, `dataset`, `system` (the coding system of `their_code`), `their_code`,
        `code` (of findings.csv), `role` and `source`. The role is "counts", "apart" for a near
        finding that does not count, such as an incomplete block, or "blank" if the data set cannot
        have the label, as in Table 4.

    Raises
    ------
    DataError
        A code is not in findings.csv, or a role is unknown or does not agree with the code.
    """
    columns = ["label", "dataset", "system", "their_code", "code", "role", "source"]
    table = read_table("zero_shot_labels.csv", columns)
    unknown = set(table["code"]) - set(FINDINGS.index) - {""}
    if unknown:
        raise DataError(
            f"zero_shot_labels.csv: code {min(unknown)!r} is not in findings.csv; use one that is"
        )
    wrong = table[~table["role"].isin(ROLES) | (table["code"].eq("") != table["role"].eq("blank"))]
    if len(wrong):
        label, dataset = wrong.iloc[0][["label", "dataset"]]
        raise DataError(
            f"zero_shot_labels.csv: {label}, {dataset}: role must be counts or apart "
            "if there is a code, and blank if there is none"
        )
    return table


def _codes(role: str) -> dict[str, list[str]]:
    table = zero_shot_table()
    chosen = table[table["role"] == role]
    return {
        label: list(dict.fromkeys(chosen.loc[chosen["label"] == label, "code"]))
        for label in dict.fromkeys(table["label"])
    }


@cache
def zero_shot_labels() -> dict[str, list[str]]:
    """Return the codes that count as each of the nine labels of Table 4, in its order."""
    return _codes("counts")


@cache
def zero_shot_codes() -> frozenset[str]:
    """Return the codes whose names would give a label of Table 4 away.

    These are codes that count as a label, or whose name contains that of a label. "incomplete left
    bundle branch block" is not the label LBBB, but it still teaches the words.
    """
    counting = {code for codes in zero_shot_labels().values() for code in codes}
    names = FINDINGS["name"]
    containing = {c for c in names.index if any(t in names[c] for t in LABEL_TEXT.values())}
    return frozenset(counting | containing)


def zero_shot_targets(records: pd.DataFrame, minimum: float | None = 50) -> pd.DataFrame:
    """Return the ground truth for zero-shot classification.

    Parameters
    ----------
    records : DataFrame
        `EcgStore.records` or rows of it; `ecg_id` and `labels` are read.
    minimum : float, per cent, or None
        Least likelihood of a label that counts; None means any. A label stated without a likelihood
        counts, too.

    Returns
    -------
    (n, 9) DataFrame of nullable booleans
        Columns in the order of Table 4. NA if the ECG's cohort cannot have the label, as where
        Table 4 is blank: CPSC was labelled for AF, LBBB and RBBB only.
    """
    return _stated(records, zero_shot_labels(), minimum)


def zero_shot_near(records: pd.DataFrame, minimum: float = 50) -> pd.DataFrame:
    """Return which ECGs have a near finding (role "apart") of each label, but not the label."""
    near = _stated(records, _codes("apart"), minimum)
    return near & ~zero_shot_targets(records, minimum)


def _stated(
    records: pd.DataFrame, codes: Mapping[str, list[str]], minimum: float | None
) -> pd.DataFrame:
    datasets = records["ecg_id"].str.partition("/")[0].map(DATASETS)
    table = zero_shot_table()
    stated = pd.DataFrame(index=records.index)
    for label, wanted in codes.items():
        present = [
            any(minimum is None or p == 0 or p >= minimum for c, p in labels.items() if c in wanted)
            for labels in records["labels"]
        ]
        blank = table.loc[(table["label"] == label) & (table["role"] == "blank"), "dataset"]
        column = pd.Series(present, index=records.index, dtype="boolean")
        stated[label] = column.mask(datasets.isin(list(blank)))
    return stated

"""The nine labels of the paper's Table 4 in each data set's own codes (`zero_shot_labels.csv`)."""

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
    {  # first part of an ecg_id -> the data set's name in Table 4
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
    """Which code of which data set stands for which label of Table 4, and who says so.

    Columns `label`, `dataset`, `system` (in whose language), `their_code`, `code` (of
    findings.csv), `role` ("counts"; "apart": near it, such as an incomplete block, and not counted;
    "blank": the data set cannot carry the label, as in Table 4), `source`.
    """
    columns = ["label", "dataset", "system", "their_code", "code", "role", "source"]
    table = read_table("zero_shot_labels.csv", columns)
    unknown = set(table["code"]) - set(FINDINGS.index) - {""}
    if unknown:
        raise DataError(f"zero_shot_labels.csv: code {min(unknown)!r} is not in findings.csv")
    wrong = table[~table["role"].isin(ROLES) | (table["code"].eq("") != table["role"].eq("blank"))]
    if len(wrong):
        label, dataset = wrong.iloc[0][["label", "dataset"]]
        raise DataError(
            f"zero_shot_labels.csv: {label}, {dataset}: role must be counts or apart "
            "with a code, or blank without one"
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
    """The nine labels of Table 4, in its order -> the codes that count as the label."""
    return _codes("counts")


@cache
def zero_shot_codes() -> frozenset[str]:
    """Codes whose names would give a label of Table 4 away: they count as one, or contain its name.

    "incomplete left bundle branch block" is not the label LBBB, and yet teaches its words.
    """
    counting = {code for codes in zero_shot_labels().values() for code in codes}
    names = FINDINGS["name"]
    containing = {c for c in names.index if any(t in names[c] for t in LABEL_TEXT.values())}
    return frozenset(counting | containing)


def zero_shot_targets(records: pd.DataFrame, minimum: float = 50) -> pd.DataFrame:
    """Truth for zero-shot classification.

    Parameters
    ----------
    records : `EcgStore.records` (or rows of it): `ecg_id` and `labels` are read
    minimum : likelihood from which a label counts; one stated without likelihood counts

    Returns
    -------
    DataFrame of nullable booleans (n, 9), columns and order of Table 4. NA where the ECG's cohort
    cannot carry the label, as blank in Table 4: CPSC was labelled for AF, LBBB and RBBB only.
    """
    return _stated(records, zero_shot_labels(), minimum)


def zero_shot_near(records: pd.DataFrame, minimum: float = 50) -> pd.DataFrame:
    """ECGs that have what is told apart from a label (an incomplete block) and not the label."""
    near = _stated(records, _codes("apart"), minimum)
    return near & ~zero_shot_targets(records, minimum)


def _stated(records: pd.DataFrame, codes: Mapping[str, list[str]], minimum: float) -> pd.DataFrame:
    datasets = records["ecg_id"].str.partition("/")[0].map(DATASETS)
    table = zero_shot_table()
    stated = pd.DataFrame(index=records.index)
    for label, wanted in codes.items():
        present = [
            any(p == 0 or p >= minimum for c, p in labels.items() if c in wanted)
            for labels in records["labels"]
        ]
        blank = table.loc[(table["label"] == label) & (table["role"] == "blank"), "dataset"]
        column = pd.Series(present, index=records.index, dtype="boolean")
        stated[label] = column.mask(datasets.isin(list(blank)))
    return stated

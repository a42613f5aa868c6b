"""One vocabulary for all cohorts: findings, the maps from each source's codes, zero-shot labels.

The knowledge is in three tables beside this file, for a cardiologist to read and amend:
`findings.csv` (the codes, PTB-XL's, and ECG-QA's words for them), `label_maps.csv` (which of a
source's own codes stand for them) and `zero_shot_labels.csv` (the nine labels of the paper's
Table 4 in each data set's own codes, with their sources).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from ecg_lib.errors import DataError

_TABLES = Path(__file__).resolve().parent
KINDS = ("diagnostic", "form", "rhythm")
ROLES = ("counts", "apart", "blank")
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


def is_certain(likelihood: float) -> bool:
    """ECG-QA's rule: 0 (stated without a likelihood) and 100 are certain, all between is not."""
    return likelihood in (0, 100)


def _read(name: str, columns: list[str]) -> pd.DataFrame:
    table = pd.read_csv(_TABLES / name, dtype=str, keep_default_na=False)
    if list(table.columns) != columns:
        raise DataError(f"{name}: columns must be {', '.join(columns)}")
    return table


@cache
def load_findings() -> pd.DataFrame:
    """Findings indexed by code, columns `name`, `kinds` (tuple), `superclass`, `ecgqa` (bool)."""
    table = _read("findings.csv", ["code", "name", "kinds", "superclass", "ecgqa"])
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


def code_of(name: str) -> str:
    """The code behind ECG-QA's words, the inverse of `name_of`; `KeyError` if none."""
    return _codes_by_name()[name]


@cache
def _codes_by_name() -> dict[str, str]:
    return {name: code for code, name in FINDINGS["name"].items()}


@dataclass
class Translation:
    """What a source's own codes mean: labels, attributes, and the codes no finding stands for."""

    labels: dict[str, float] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    unmapped: list[str] = field(default_factory=list)

    def add(self, meanings: list[tuple[str, str]] | None, their_code: str, likelihood: float = 100):
        """Add one of the source's codes, given its rows (code, attribute) of label_maps.csv."""
        if not meanings or not any(code or attribute for code, attribute in meanings):
            self.unmapped.append(their_code)
            return
        for code, attribute in meanings:
            if code:
                self.labels[code] = max(likelihood, self.labels.get(code, 0))
            if attribute:
                name, _, value = attribute.partition(": ")
                self.attributes[name] = value


@cache
def label_map(source: str) -> Mapping[str, list[tuple[str, str]]]:
    """Rows of label_maps.csv for a source: their code (lower case) -> [(code, attribute)].

    A code with empty meanings is known and stands for no finding here.
    """
    table = _read("label_maps.csv", ["source", "their_code", "code", "attribute", "reference"])
    unknown = set(table["code"]) - set(FINDINGS.index) - {""}
    if unknown:
        raise DataError(f"label_maps.csv: code {sorted(unknown)[0]!r} is not in findings.csv")
    rows = table[table["source"] == source]
    if rows.empty:
        raise DataError(f"label_maps.csv has no row of source {source!r}")
    meanings: dict[str, list[tuple[str, str]]] = {}
    for row in rows.itertuples():
        meanings.setdefault(row.their_code.lower(), []).append((row.code, row.attribute))
    return meanings


def translate(source: str, their_codes: Iterable[str]) -> Translation:
    """Labels and attributes for the codes one record has in its source's own language."""
    meanings = label_map(source)
    result = Translation()
    for their_code in their_codes:
        result.add(meanings.get(their_code.lower()), their_code)
    if result.unmapped:
        result.attributes["unmapped"] = result.unmapped
    return result


def maps_version() -> str:
    """Short hash of the tables: part of a mapped source's version, so that edits show."""
    text = b"".join((_TABLES / name).read_bytes() for name in ("findings.csv", "label_maps.csv"))
    return hashlib.sha256(text).hexdigest()[:8]


@cache
def transfer_findings() -> pd.DataFrame:
    """Findings that transfer from simulated to real ECGs is measured on.

    Columns `finding`, `codes` (tuple; any of them counts), `prompts` (tuple of texts), `reported`
    ("mean": one of the 14 that are averaged; "beside").
    """
    table = _read("transfer_findings.csv", ["finding", "codes", "prompts", "reported"])
    table["codes"] = [tuple(codes.split()) for codes in table["codes"]]
    table["prompts"] = [tuple(prompts.split("|")) for prompts in table["prompts"]]
    unknown = {code for codes in table["codes"] for code in codes} - set(FINDINGS.index)
    if unknown:
        raise DataError(f"transfer_findings.csv: code {min(unknown)!r} is not in findings.csv")
    return table


@cache
def zero_shot_table() -> pd.DataFrame:
    """Which code of which data set stands for which label of Table 4, and who says so.

    Columns `label`, `dataset`, `system` (in whose language), `their_code`, `code` (of
    findings.csv), `role` ("counts"; "apart": near it, such as an incomplete block, and not counted;
    "blank": the data set cannot carry the label, as in Table 4), `source`.
    """
    columns = ["label", "dataset", "system", "their_code", "code", "role", "source"]
    table = _read("zero_shot_labels.csv", columns)
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

"""Question sets for the blind test: ECG-QA, questions built here, a benchmark, or your own CSV."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecg_lib.blind_test.question_set import QuestionSet
from ecg_lib.data.source_files import inside, read_rows, read_text, refuse_outside
from ecg_lib.data.store import EcgStore
from ecg_lib.data.wfdb_header import files_of
from ecg_lib.data.write_store import open_whole
from ecg_lib.errors import BadRecord, DataError
from ecg_lib.questions.draw import Sizes
from ecg_lib.questions.ecgqa_rows import keep_known, read_ecgqa
from ecg_lib.questions.reasoning_benchmark import KINDS, NAME, read_benchmark
from ecg_lib.questions.schema import SHORT_NAMES, SPLITS, read_split, template_key
from ecg_lib.questions.true_answers import true_answers
from ecg_lib.questions.vocabulary import NO, YES
from ecg_lib.questions.worlds import find_world

CSV_COLUMNS = ("record", "question", "answer", "patient_id")


def from_rows(name: str, rows: pd.DataFrame, store: EcgStore) -> QuestionSet:
    """Return question rows in ECG-QA's schema about the ECGs of a prepared store.

    Rows about ECGs that the store lacks are left out.
    """
    rows = keep_known(rows, set(store.records["ecg_id"]))[0]
    kind = rows["question_type"].map(SHORT_NAMES)
    table = rows.assign(
        row_id=[str(k) for k in range(len(rows))],
        key=template_key(rows) + " | " + rows["question_type"],
        kind=kind,
    )
    records = store.records[["ecg_id", "labels", "attributes"]]
    return _over_store(name, table, store, lambda some: true_answers(some, records))


def from_ecgqa(root: str | Path, store: EcgStore, split: str = "test") -> QuestionSet:
    """Return the rows of an ECG-QA release (its folder `ecgqa/`) about a PTB-XL store."""
    return from_rows(f"ECG-QA {split}", read_ecgqa(root, split=split), store)


def from_profile(data: str | Path, split: str = "test") -> QuestionSet:
    """Return the questions of a finished profile, whose data folder is e.g. data/demo.

    Raises
    ------
    DataError
        The folder holds no questions, or no store holds their ECGs.
    """
    data = Path(data)
    rows = read_split(data / "questions", split)
    wanted = rows["ecg_id"].iloc[0][0] if len(rows) else ""
    for folder in sorted((data / "cohorts").glob("*")):
        if (folder / "manifest.json").is_file() and wanted in (store := open_whole(folder)):
            return from_rows(f"{data.name} {split}", rows, store)
    raise DataError(f"{data / 'cohorts'}: no store holds {wanted!r}; run notebook 01 again")


def from_world(
    world: str, store: EcgStore, per_answer: int = 20, seed: int = 0, split: str = "test"
) -> QuestionSet:
    """Build questions about a store's ECGs, drawn as in one of the worlds of asking.

    Parameters
    ----------
    world : {"ecgqa", "nature", "do"}
        Rule for who is asked what (`ecg_lib.questions.worlds`).
    per_answer : int
        Most rows per question and answer, in ECG-QA's proportions.
    """
    from ecg_lib.questions.build import build_questions

    found = find_world(world)
    sizes: dict[str, Sizes] = {part: found.sizes(per_answer) for part in SPLITS}
    rows = build_questions(store.records, sizes, found, seed)[split]
    return from_rows(f"{world}, {split}", rows, store)


def from_benchmark(file: str | Path, store: EcgStore) -> QuestionSet:
    """Return the finding, diagnosis and decision questions of ECG-Reasoning-Benchmark.

    Parameters
    ----------
    file : path
        Its PTB-XL part as JSON lines, one dialogue per line.
    store : EcgStore
        PTB-XL. Questions about other ECGs are left out.
    """
    rows = read_benchmark(file)
    rows = rows[rows["ecg_id"].isin(set(store.records["ecg_id"]))].reset_index(drop=True)
    rows = rows.drop_duplicates(["ecg_id", "question"], ignore_index=True)
    answer = rows["answer"].map(
        lambda text: [text.lower()] if text.lower() in (YES, NO) else [text]
    )
    order = {kind: place for place, kind in enumerate(KINDS.values())}
    table = pd.DataFrame(
        {
            "row_id": [str(k) for k in range(len(rows))],
            "ecg_id": rows["ecg_id"].map(lambda ecg: [ecg]),
            "question": rows["question"],
            "answer": answer,
            "key": rows["question"],
            "kind": rows["kind"],
        }
    ).sort_values("kind", key=lambda kinds: kinds.map(order), kind="stable")
    return _over_store(NAME, table.reset_index(drop=True), store, None)


def from_csv(file: str | Path, records: str | Path | None = None, rate: int = 100) -> QuestionSet:
    """Read questions of your own about WFDB records.

    Parameters
    ----------
    file : path
        CSV with the columns `record` (path of a WFDB record without suffix, below `records`),
        `question`, `answer` (yes, no, or labels joined by ";") and `patient_id`. Optional:
        `second_record` (a later ECG to compare with), `question_id` (the same for all wordings of
        one question), `kind` (a group of questions), `normal` (1 or 0) and `severity` (0 to 1),
        both of the ECG `record`.
    records : path, optional
        Folder of the records; by default that of the CSV.
    rate : int
        Sampling rate to which they are brought, Hz.

    Raises
    ------
    DataError
        A column is missing, a cell is empty or not understood, or a record cannot be read.
    """
    file = Path(file)
    folder = Path(records) if records else file.parent
    given = _read_csv(file)
    if missing := [column for column in CSV_COLUMNS if column not in given]:
        raise DataError(f"{file}: no column {missing[0]!r}; it needs {', '.join(CSV_COLUMNS)}")
    for column in ("second_record", "question_id", "kind", "normal", "severity"):
        given[column] = given.get(column, "")
    for column in given:
        given[column] = given[column].str.strip()
    for column in CSV_COLUMNS:
        empty = given.index[given[column] == ""]
        if len(empty):
            raise DataError(f"{file}, line {empty[0] + 2}: {column} is empty; fill it in")
    rows = pd.DataFrame(
        {
            "row_id": [str(k) for k in range(len(given))],
            "ecg_id": [
                [first, second] if second else [first]
                for first, second in zip(given["record"], given["second_record"], strict=True)
            ],
            "question": given["question"],
            "answer": given["answer"].map(_labels),
            "key": given["question_id"].where(given["question_id"] != "", given["question"]),
            "kind": given["kind"].where(given["kind"] != "", "question"),
        }
    )
    reader = _Records(folder, rate)
    ecgs = _ecgs_of(given, file)
    for ecg in ecgs["ecg_id"]:
        reader.one(ecg)  # a record that cannot be read is found now, not after an hour
    return QuestionSet(file.stem, rows, ecgs, reader, rate)


def _read_csv(file: Path) -> pd.DataFrame:
    text = read_text(file, "a CSV file in UTF-8")
    if "\0" in text:
        raise DataError(f"{file}: holds NUL characters; save it as UTF-8 CSV")
    as_text: dict[str, Any] = {"dtype": str, "keep_default_na": False}
    try:
        names = pd.read_csv(StringIO(text), header=None, nrows=1, **as_text).iloc[0].tolist()
        given = read_rows(StringIO(text), **as_text)
    except ValueError as error:
        told = str(error).strip().splitlines()[0]
        raise DataError(f"{file}: not a CSV file ({told}); save it as UTF-8 CSV") from None
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{file}: column {twice[0]!r} occurs twice; keep one")
    if given.empty:
        raise DataError(f"{file}: no row below the header; write one row per question")
    return given


def _labels(text: str) -> list[str]:
    plain = text.lower().strip(" .")
    if plain in (YES, NO):
        return [plain]
    return [part.strip() for part in text.split(";") if part.strip()]


def _ecgs_of(given: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Return one row per record that the CSV names."""
    found: dict[str, dict] = {}
    for line, row in enumerate(given.itertuples(), start=2):
        where = f"{file}, line {line}"
        own = {
            "patient_id": row.patient_id,
            "normal": _number(row.normal, where, "normal"),
            "severity": _number(row.severity, where, "severity"),
        }
        if (known := found.setdefault(row.record, own))["patient_id"] != row.patient_id:
            raise DataError(f"{where}: {row.record} is of patient {known['patient_id']} above")
        for column in ("normal", "severity"):
            if np.isnan(known[column]):
                known[column] = own[column]
            elif not np.isnan(own[column]) and own[column] != known[column]:
                raise DataError(f"{where}: {column} of {row.record} differs from a line above")
    for row in given.itertuples():
        if row.second_record:
            unknown = {"patient_id": row.patient_id, "normal": np.nan, "severity": np.nan}
            found.setdefault(row.second_record, unknown)
    table = pd.DataFrame.from_dict(found, orient="index").rename_axis("ecg_id").reset_index()
    normal = [None if np.isnan(value) else value >= 0.5 for value in table["normal"]]
    return table.assign(normal=pd.Series(normal, dtype=object), split="test")


def _number(text: str, where: str, column: str) -> float:
    words = {"": np.nan, "true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
    try:
        value = words[text.lower()] if text.lower() in words else float(text)
    except ValueError:
        value = -1.0
    if not np.isnan(value) and not 0 <= value <= 1:
        raise DataError(f"{where}: {column} is {text!r}; give a number from 0 to 1, or nothing")
    return value


class _Records:
    """Reads WFDB records below a folder as every cohort's ECGs are read; keeps what it has read."""

    def __init__(self, folder: Path, rate: int):
        self._folder, self._rate = folder, rate
        self.one = cache(self._read)

    def __call__(self, ecg_ids: Sequence[str]) -> np.ndarray:
        return np.stack([self.one(ecg) for ecg in ecg_ids])

    def _read(self, ecg: str) -> np.ndarray:
        from ecg_lib.ecg_llm.ask import read_ecg, stem_of  # imports torch, which takes seconds

        path = self._folder / ecg
        if not inside(self._folder, path):
            raise DataError(f"record {ecg!r} lies outside {self._folder}; give its folder")
        try:
            refuse_outside(self._folder, files_of(stem_of(path), self._folder))
            return read_ecg(path, self._rate)
        except BadRecord as error:
            raise DataError(f"{error}; mend the record or leave its rows out") from error


def _over_store(name: str, rows: pd.DataFrame, store: EcgStore, truth) -> QuestionSet:
    ecgs = store.records[["ecg_id", "patient_id", "split", "normal", "severity"]].copy()
    ecgs["normal"] = ecgs["normal"].astype(object).where(ecgs["normal"].notna(), None)
    asked = {ecg for ids in rows["ecg_id"] for ecg in ids}
    # donors come from the splits that are asked about, so a training ECG is no donor of a test one
    splits = set(ecgs.loc[ecgs["ecg_id"].isin(asked), "split"])
    ecgs = ecgs[ecgs["split"].isin(splits)].reset_index(drop=True)
    return QuestionSet(name, rows, ecgs, store.mv, store.rate, truth)


__all__ = ["from_benchmark", "from_csv", "from_ecgqa", "from_profile", "from_rows", "from_world"]

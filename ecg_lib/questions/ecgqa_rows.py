"""Read the JSON shards of the ECG-QA release v1.0.2 (Oh et al. 2023) as question rows."""

import json
import warnings
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from ecg_lib.data.source_files import read_text, refuse_link_outward
from ecg_lib.data.table_cells import identifier, whole_numbers
from ecg_lib.errors import DataError
from ecg_lib.questions.schema import COLUMNS, SPLITS, validate_rows

SOURCE = "https://github.com/Jwoo5/ecg-qa"
FORMS = ("paraphrased", "template")
# Rows in the whole release v1.0.2. No totals are published for its MIMIC-IV-ECG form.
EXPECTED_COUNTS = {"ptbxl": {"train": 267_539, "valid": 64_663, "test": 82_146}}
_ID_FORMAT = {"ptbxl": "ptbxl/{:05d}", "mimic-iv-ecg": "mimic-iv-ecg/{}"}
_TEXTS = ("question", "question_type", "attribute_type")
_OUTDATED = "late stage of myocardial infarction"


def read_ecgqa(
    root: Path | str, corpus: str = "ptbxl", form: str = "paraphrased", split: str = "train"
) -> pd.DataFrame:
    """Read the question rows of one split, ordered by sample_id.

    Parameters
    ----------
    root : path
        Folder that holds `<corpus>/<form>/<split>/*.json` (the `ecgqa/` folder of the release).
    corpus : {"ptbxl", "mimic-iv-ecg"}
    form : {"paraphrased", "template"}
        Only in the paraphrased form do test questions have other wordings than training questions.
    split : {"train", "valid", "test"}

    Returns
    -------
    DataFrame
        Rows in the schema of `ecg_lib.questions.schema`. ECG ids read `"ptbxl/00001"` or
        `"mimic-iv-ecg/<study_id>"`; the order of the two ECGs of a row is kept. A row without an
        answer or readable ECG numbers is left out with a warning that counts such rows.

    Raises
    ------
    DataError
        An argument is unknown, the folder or its shards are missing, a shard cannot be read, or
        the labels are those of v1.0.0.
    """
    for name, value, allowed in (
        ("corpus", corpus, _ID_FORMAT),
        ("form", form, FORMS),
        ("split", split, SPLITS),
    ):
        if value not in allowed:
            raise DataError(f"ECG-QA {name} {value!r} is unknown; use one of {', '.join(allowed)}")
    folder = Path(root) / corpus / form / split
    shards = sorted(folder.glob("*.json"))
    if not shards:
        raise DataError(
            f"no ECG-QA shards (*.json) in {folder}; download {SOURCE} and give its "
            f"folder ecgqa/, which must contain {corpus}/{form}/{split}/"
        )
    for shard in shards:
        refuse_link_outward(root, shard, "ECG-QA")
    rows = pd.DataFrame([row for shard in shards for row in _read_shard(shard)])
    if rows.answer.map(lambda answer: _OUTDATED in answer).any():
        raise DataError(
            f"{folder}: answers contain {_OUTDATED!r}, one of the v1.0.0 labels; get v1.0.2 "
            f"from {SOURCE}"
        )
    id_format = _ID_FORMAT[corpus]
    rows["ecg_id"] = [[id_format.format(int(identifier(i))) for i in ids] for ids in rows.ecg_id]
    rows["attribute"] = pd.Series(
        [a if isinstance(a, list) and a else None for a in rows.attribute], dtype=object
    )
    return validate_rows(rows.sort_values("sample_id", kind="stable"))


def _read_shard(path: Path) -> list[dict]:
    try:
        content = json.loads(read_text(path, "a shard of ECG-QA"))
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(
            f"{path}: not JSON ({error}), perhaps a Git LFS pointer or an interrupted download; "
            "fetch the file again"
        ) from None
    if not isinstance(content, list) or not content:
        raise DataError(f"{path}: expected a list of questions; fetch the file again")
    first = content[0] if isinstance(content[0], dict) else {}
    missing = [field for field in COLUMNS if field not in first]
    readable = [row for row in content if _is_readable(row)]
    if missing and not readable:
        raise DataError(
            f"{path}: rows lack the field {missing[0]!r}, so this is not an ECG-QA shard; give a "
            f"folder of {SOURCE}"
        )
    if not readable:
        raise DataError(f"{path}: no row has an answer and ECG numbers; fetch the file again")
    if odd := len(content) - len(readable):
        warnings.warn(f"{path}: {odd} rows cannot be read and are left out", stacklevel=3)
    # ECG-QA's mapping script adds ecg_path, which the schema does not have.
    return [{field: row.get(field) for field in COLUMNS} for row in readable]


def _is_readable(row: object) -> bool:
    """Return whether a row has all fields, ECG numbers and an answer; others cost themselves."""
    if not isinstance(row, dict) or not set(COLUMNS) <= row.keys():
        return False
    answer, ids = row["answer"], row["ecg_id"]
    return (
        isinstance(answer, list)
        and bool(answer)
        and all(isinstance(text, str) for text in answer)
        and isinstance(ids, list)
        and bool(ids)
        and all(identifier(ecg).isdigit() and identifier(ecg).isascii() for ecg in ids)
        and all(isinstance(row[field], str) for field in _TEXTS)
        and type(row["sample_id"]) is int
    )


def keep_known(rows: pd.DataFrame, ecg_ids: Collection[str]) -> tuple[pd.DataFrame, dict]:
    """Keep the rows whose ECGs are all among `ecg_ids`, and summarize what was dropped.

    The summary holds `kept`, `dropped`, `dropped_by_type` (question_type -> number of rows) and
    `unknown_ecgs` (number of distinct ids that were not found).
    """
    known = set(ecg_ids)
    good = rows.ecg_id.map(known.issuperset).astype(bool)
    dropped = rows.loc[~good]
    unknown = {i for ids in dropped.ecg_id for i in ids} - known
    summary = {
        "kept": int(good.sum()),
        "dropped": len(dropped),
        "dropped_by_type": dropped.question_type.value_counts().to_dict(),
        "unknown_ecgs": len(unknown),
    }
    return rows.loc[good].reset_index(drop=True), summary


def expected_counts(rows: pd.DataFrame, corpus: str, split: str) -> dict:
    """Compare the number of rows read with that of the whole release.

    Returns `rows`, `expected` and `complete`. The last two are None where the release publishes
    no total. An incomplete download is usable, but the tables made from it must say so.
    """
    expected = EXPECTED_COUNTS.get(corpus, {}).get(split)
    return {
        "rows": len(rows),
        "expected": expected,
        "complete": None if expected is None else len(rows) == expected,
    }


def read_ecg_ids(root: Path | str, corpus: str, split: str) -> list[str]:
    """Read the ids of the ECGs that ECG-QA assigns to `split`; its splits are not PTB-XL's folds.

    Raises
    ------
    DataError
        `<split>_ecgs.tsv` is missing, or a line of it ends in no ECG number.
    """
    path = Path(root) / corpus / f"{split}_ecgs.tsv"
    if not path.is_file():
        raise DataError(f"{path}: no such file; get it from ECG-QA ({SOURCE})")
    return [_ID_FORMAT[corpus].format(i) for i in whole_numbers(path)]

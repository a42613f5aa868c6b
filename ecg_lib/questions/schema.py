"""Define the question row (ECG-QA's schema, whatever the source), and read and write its files.

A row asks one question about one ECG or two. Of two, the first is the previous and the second the
recent one: the order of `ecg_id` carries meaning and is never sorted. `answer` is a set written as
a list. The files are Parquet, one per split.

A *verify* question asks for yes or no, a *choose* question offers two options, and a *query*
question is open. The two ECGs of a comparison are of one patient (*consecutive*) or of two
(*irrelevant*).
"""

import re
from collections.abc import Collection
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ecg_lib.errors import DataError
from ecg_lib.files import write_atomically

SPLITS = ("train", "valid", "test")
SHORT_NAMES = {
    "single-verify": "S-Verify",
    "single-choose": "S-Choose",
    "single-query": "S-Query",
    "comparison_consecutive-verify": "CC-Verify",
    "comparison_consecutive-query": "CC-Query",
    "comparison_irrelevant-verify": "CI-Verify",
    "comparison_irrelevant-query": "CI-Query",
}
ATTRIBUTE_TYPES = (
    "scp_code",
    "noise",
    "stage_of_infarction",
    "extra_systole",
    "heart_axis",
    "numeric_feature",
)
_TEXTS = pa.list_(pa.string())
ARROW_SCHEMA = pa.schema(
    [
        ("template_id", pa.int32()),
        ("question_id", pa.int32()),
        ("sample_id", pa.int32()),
        ("question_type", pa.string()),
        ("attribute_type", pa.string()),
        ("question", pa.string()),
        ("answer", _TEXTS),
        ("ecg_id", _TEXTS),
        ("attribute", _TEXTS),
    ]
)
COLUMNS = tuple(ARROW_SCHEMA.names)

_LEAD = r"(?:I{1,3}|aV[RLF]|V[1-6])"
_PLACE = re.compile(
    rf"\blead ({_LEAD})\b|\b({_LEAD}) lead\b|\b(aV[RLF]|V[1-6])\b|\b(limb|chest) leads?\b"
)
_RANGE = re.compile(r"\b(above|below|within|outside)\b", re.IGNORECASE)


def validate_rows(rows: pd.DataFrame, known_ecgs: Collection[str] | None = None) -> pd.DataFrame:
    """Check a table against the row schema and return it with exactly `COLUMNS`.

    Raises
    ------
    DataError
        A column is missing, or a row breaks the schema (or names an ECG outside `known_ecgs`);
        the message names the row's sample_id and field.
    """
    missing = [column for column in COLUMNS if column not in rows.columns]
    if missing:
        raise DataError(
            f"question rows lack the field {missing[0]!r}; expected {', '.join(COLUMNS)}"
        )
    rows = rows.loc[:, list(COLUMNS)].reset_index(drop=True)
    n_ecgs = rows.question_type.astype(str).str.startswith("comparison").map({True: 2, False: 1})
    repeated = rows.sample_id.duplicated()
    checks = [
        ("sample_id", ~repeated, "occurs twice in this split"),
        ("question_type", rows.question_type.isin(SHORT_NAMES), "is not one of the seven types"),
        ("attribute_type", rows.attribute_type.isin(ATTRIBUTE_TYPES), "is not a known type"),
        (
            "question",
            rows.question.map(lambda q: isinstance(q, str) and bool(q.strip())),
            "is empty",
        ),
        ("answer", rows.answer.map(_is_texts), "must be a list with at least one text"),
        ("ecg_id", rows.ecg_id.map(_is_texts), "must be a list of ids as text"),
        (
            "attribute",
            rows.attribute.map(lambda a: a is None or _is_texts(a)),
            "must be null or a list of texts",
        ),
    ]
    for field, good, complaint in checks:
        _refuse(rows, field, good, complaint)
    _refuse(
        rows,
        "ecg_id",
        rows.ecg_id.map(len) == n_ecgs,
        "must name two ECGs in comparisons and one elsewhere",
    )
    if known_ecgs is not None:
        known = set(known_ecgs)
        _refuse(
            rows,
            "ecg_id",
            rows.ecg_id.map(known.issuperset),
            "names an ECG that is not in the store; drop such rows with keep_known",
        )
    return rows


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(isinstance(v, str) for v in value)


def _refuse(rows: pd.DataFrame, field: str, good: pd.Series, complaint: str) -> None:
    bad = rows.loc[~good.astype(bool)]
    if len(bad):
        first = bad.iloc[0]
        raise DataError(
            f"question row sample_id {first.sample_id}, field {field}: {first[field]!r} "
            f"{complaint} ({len(bad)} such rows)"
        )


def write_split(
    rows: pd.DataFrame, folder: Path | str, split: str, known_ecgs: Collection[str] | None = None
) -> Path:
    """Validate `rows`, write `<folder>/<split>.parquet` atomically and return the path."""
    rows = validate_rows(rows, known_ecgs)
    path = Path(folder) / f"{split}.parquet"
    table = pa.Table.from_pydict({c: rows[c].tolist() for c in COLUMNS}, schema=ARROW_SCHEMA)
    write_atomically(path, partial(pq.write_table, table))
    return path


def read_split(folder: Path | str, split: str) -> pd.DataFrame:
    """Read the rows of one split, with lists as Python lists.

    Raises
    ------
    DataError
        The file is missing.
    """
    path = Path(folder) / f"{split}.parquet"
    if not path.is_file():
        raise DataError(f"{path}: no such question file; build or read the questions first")
    table = pq.read_table(path, schema=ARROW_SCHEMA)
    return pd.DataFrame(
        {name: pd.Series(table[name].to_pylist(), dtype=_dtype(name)) for name in COLUMNS}
    )


def _dtype(column: str) -> str:
    return "int64" if column.endswith("_id") and column != "ecg_id" else "object"


def empty_rows() -> pd.DataFrame:
    """Return a table in the row schema without rows."""
    return pd.DataFrame({name: pd.Series([], dtype=_dtype(name)) for name in COLUMNS})


def template_key(rows: pd.DataFrame) -> pd.Series:
    """Return a key for the template question behind each row; all its wordings share one key.

    `question_id` alone is not enough: in ECG-QA one id covers up to twelve leads. The key joins
    template_id, question_id, the attributes (sorted, because choose questions swap them), and the
    lead and range named in the text. For ECG-QA's templates 26-28 it forms the same 43 groups as
    the template sentence does.
    """

    def key(template_id, question_id, attribute, attribute_type, question):
        parts = [str(template_id), str(question_id)]
        if isinstance(attribute, list):
            parts.append(" + ".join(sorted(attribute)))
        parts += sorted({next(filter(None, hit)) for hit in _PLACE.findall(question)})
        if attribute_type == "numeric_feature" and isinstance(attribute, list):
            parts += sorted({hit.lower() for hit in _RANGE.findall(question)})
        return " | ".join(parts)

    fields = (
        rows[c] for c in ("template_id", "question_id", "attribute", "attribute_type", "question")
    )
    return pd.Series(
        [key(*values) for values in zip(*fields, strict=True)],
        index=rows.index,
        name="template_key",
        dtype=object,
    )


def sample_rows(rows: pd.DataFrame, n: int | None, seed: int) -> pd.DataFrame:
    """Draw about n rows at random (all, if no more) with question types kept in proportion."""
    if not n or len(rows) <= n:
        return rows
    share = n / len(rows)
    parts = [
        group.sample(max(1, round(share * len(group))), random_state=seed)
        for _, group in rows.groupby("question_type")
    ]
    return pd.concat(parts).sort_index()

"""Everything that the blind test needs to ask a model and to judge its replies.

A plan is made once from a question set and can be saved. The saved plan is enough to judge replies
that were made elsewhere; the ECGs are not needed for that.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa

from ecg_lib.blind_test.conditions import CONDITIONS, MATCHED, OWN, RANDOM, requests
from ecg_lib.blind_test.held_out_anchors import anchor_answers
from ecg_lib.blind_test.question_set import (
    QuestionSet,
    closed,
    sample,
    severity_texts,
)
from ecg_lib.blind_test.weighing import ALL, DO, WITHIN, weights
from ecg_lib.data.source_files import read_text
from ecg_lib.disk import write_file
from ecg_lib.errors import DataError
from ecg_lib.evaluation.exact_match import normalised_set

FORMAT = 1
_ROWS = ("answer", "key", "kind", "patient", "closed", "severity")
_REQUESTS = ("condition", "row_id", "question", "ecg_id", "signal")
_ANCHORS = ("column", "who", "condition", "row_id", "right")
_LISTS = ("answer", "ecg_id")
MAX_ROWS = 1000


@dataclass(frozen=True, eq=False)
class Plan:
    """The rows of a blind test, the requests to the model, and how the anchors answer.

    Parameters
    ----------
    name : str
        Name of the question set.
    rows : DataFrame
        Indexed by row_id: `answer` (list), `key`, `kind`, `patient`, `closed` (answered yes or
        no), `severity` ("normal", "ill", a pair of both, or "" if not known).
    requests : DataFrame
        `condition`, `row_id`, `question`, `ecg_id`, `signal`.
    anchors : DataFrame
        `column` (a way of weighing the questions, under which they learn), `who`, `condition`,
        `row_id`, `right` (bool).
    seed : int
    """

    name: str
    rows: pd.DataFrame
    requests: pd.DataFrame
    anchors: pd.DataFrame
    seed: int

    @classmethod
    def of(
        cls,
        questions: QuestionSet,
        max_rows: int | None = MAX_ROWS,
        seed: int = 0,
        conditions: Sequence[str] = CONDITIONS,
    ) -> Plan:
        """Draw the rows and list the requests of a blind test.

        Raises
        ------
        DataError
            A condition is unknown, the own or a random ECG is not among them, or no donor exists.
        """
        if unknown := [name for name in conditions if name not in CONDITIONS]:
            raise DataError(f"condition {unknown[0]!r} is unknown; use {', '.join(CONDITIONS)}")
        if missing := [name for name in (OWN, RANDOM) if name not in conditions]:
            raise DataError(f"conditions: add {missing[0]!r}; the verdict rests on it")
        rows = sample(questions.rows, max_rows, seed)
        wanted = requests(questions, rows, seed, conditions)
        anchors = _anchors(questions, rows, wanted, seed)
        return cls(questions.name, _facts(rows, questions), wanted, anchors, seed)

    def save(self, folder: Path) -> None:
        """Write the plan into a folder."""
        write_file(folder / "rows.parquet", self.rows.to_parquet)
        for name in ("requests", "anchors"):
            table = getattr(self, name)
            write_file(folder / f"{name}.parquet", partial(table.to_parquet, index=False))
        about = {"format": FORMAT, "name": self.name, "seed": self.seed}
        write_file(folder / "plan.json", json.dumps(about, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Plan:
        """Read a saved plan.

        Raises
        ------
        DataError
            The folder holds no plan.
        """
        try:
            about = json.loads(read_text(folder / "plan.json", "an exported test"))
            tables = [folder / f"{name}.parquet" for name in ("rows", "requests", "anchors")]
            if absent := [path for path in tables if not path.is_file()]:
                raise FileNotFoundError(f"no file {absent[0].name}")
            rows, wanted, anchors = (pd.read_parquet(path) for path in tables)
        except (OSError, ValueError, RecursionError, pa.ArrowException) as error:
            told = " ".join(str(error).split())[:200]
            raise DataError(f"{folder}: no blind test there ({told}); export it again") from error
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            raise DataError(f"{folder}: a plan of another version; export it again")
        try:
            for table, columns in ((rows, _ROWS), (wanted, _REQUESTS), (anchors, _ANCHORS)):
                for column in columns:
                    table[column] = table[column].map(list) if column in _LISTS else table[column]
            return cls(str(about["name"]), rows, wanted, anchors, int(about["seed"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{folder}: the plan lacks {error}; export it again") from error


def _facts(rows: pd.DataFrame, questions: QuestionSet) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "answer": rows["answer"].map(list),
            "key": rows["key"].astype(str),
            "kind": rows["kind"].astype(str),
            "patient": rows["ecg_id"].str[0].map(questions.patients).astype(str),
            "closed": closed(rows),
            "severity": severity_texts(rows, questions.ecgs),
        }
    )
    return table.set_axis(pd.Index(rows["row_id"].astype(str), name="row_id"))


def _anchors(
    questions: QuestionSet, rows: pd.DataFrame, wanted: pd.DataFrame, seed: int
) -> pd.DataFrame:
    """Return whether each anchor is right, with the own ECG and with the donors'."""
    asked = {}
    by_id = rows.set_index("row_id", drop=False)
    for condition in (OWN, RANDOM, MATCHED):
        part = wanted[wanted["condition"] == condition]
        if len(part):
            given = by_id.loc[part["row_id"]].assign(ecg_id=part["ecg_id"].to_numpy())
            place = rows.index[rows["row_id"].isin(part["row_id"])]
            asked[condition] = given.set_axis(place)
    every = weights(_facts(questions.rows, questions))
    parts = []
    for column in (ALL, DO, WITHIN):
        if column not in every:
            continue
        weight = pd.Series(every[column].to_numpy(), index=questions.rows.index)
        for who, said in anchor_answers(questions, asked, weight, seed).items():
            for condition, texts in said.items():
                gold = rows.loc[texts.index]
                right = [
                    normalised_set(str(text), labels)
                    for text, labels in zip(texts, gold["answer"], strict=True)
                ]
                lines = {"row_id": gold["row_id"].astype(str), "right": right}
                parts.append(
                    pd.DataFrame(lines).assign(column=column, who=who, condition=condition)
                )
    return pd.concat(parts, ignore_index=True)[[*_ANCHORS]]

"""Cells of the cohort table and of the tables about bias, on cohorts counted by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ecg_lib.errors import DataError
from ecg_lib.questions.debias import pair_verify
from ecg_lib.report.bias_tables import audit_by_kind, audit_cells, question_only_cells, table1_cells
from ecg_lib.report.cohort_table import clearest, cohort_cells, label_counts

BROAD = "Is there anything unusual in this ECG?"
UNASKED = "Is ischemic in anterior leads indicated by this ECG?"
PAPER = pd.DataFrame({"row": [BROAD, UNASKED], "column": ["broad", "specific"]})


def store(heights=(1.0, 1.0, 1.0, 1.0)):
    """Four ECGs of three patients; the second left bundle branch block is the cleaner one."""
    records = pd.DataFrame(
        {
            "ecg_id": ["x/1", "x/2", "x/3", "x/4"],
            "patient_id": ["a", "a", "b", "c"],
            "age": [50.0, 60.0, np.nan, 80.0],
            "sex": ["F", "F", "M", ""],
            "split": ["train", "train", "test", "valid"],
            "normal": [True, False, False, False],
            "labels": [{"NORM": 100.0}, {"CLBBB": 100.0}, {"CLBBB": 100.0}, {"CLBBB": 50.0}],
            "attributes": [{}, {"noise": {"burst noise": ["V1"]}}, {}, {}],
        }
    )
    counts = {"train": 2, "valid": 1, "test": 1, "quarantined": 3, "not_at_hand": 0}
    store = SimpleNamespace(records=records, manifest={"counts": counts}, folder="folder")
    store.labels, store.attributes = records["labels"], records["attributes"]
    store.mv = lambda row: np.full((1, 12, 10), heights[row])
    return type("Store", (SimpleNamespace,), {"__len__": lambda self: 4})(**vars(store))


def questions():
    """A broad question asked of 6 normal and 2 abnormal ECGs, and the normal ECGs by id."""
    n = 8
    rows = pd.DataFrame(
        {
            "template_id": 12,
            "question_id": 1,
            "sample_id": range(n),
            "question_type": "single-verify",
            "attribute_type": "scp_code",
            "question": BROAD,
            "answer": [["no"]] * 6 + [["yes"]] * 2,
            "ecg_id": [[f"x/{i}"] for i in range(n)],
            "attribute": None,
        }
    )
    return rows, pd.Series([True] * 6 + [False] * 2, index=[f"x/{i}" for i in range(n)])


def value(cells, row, column):
    return next(c for c in cells if c["row"] == row and c["column"] == column)


def test_the_cohort_table_counts_patients_and_tells_what_is_unknown():
    cells = cohort_cells({"Mine": store()})
    assert value(cells, "Mine", "ECGs")["value"] == 4
    assert value(cells, "Mine", "patients")["value"] == 3
    assert value(cells, "Mine", "quarantined")["value"] == 3
    age, female = value(cells, "Mine", "median age"), value(cells, "Mine", "% female")
    assert (age["value"], age["n"]) == (60, 3)
    assert (female["value"], female["n"]) == (66.7, 3)


def test_labels_are_counted_per_split_the_commonest_first():
    table = label_counts(store())
    assert list(table.index) == ["CLBBB", "NORM"]
    assert table.loc["CLBBB"].to_dict() == {"train": 1, "valid": 1, "test": 1}


def test_the_clearest_example_is_certain_and_without_marked_noise():
    assert clearest(store(), "CLBBB") == "x/3"
    assert clearest(store(), "AFIB", "NORM") == "x/1"
    assert clearest(store(heights=(1, 1, 4, 1)), "CLBBB") == "x/2", "traces should not collide"
    with pytest.raises(DataError, match="AFIB"):
        clearest(store(), "AFIB")


def test_table1_keeps_the_papers_questions_that_nobody_asks_as_empty_cells():
    rows, normal = questions()
    cells = table1_cells(rows, normal, PAPER)
    asked, unasked = value(cells, BROAD, "broad"), value(cells, UNASKED, "specific")
    assert (asked["value"], asked["n"]) == (75, 8) and asked["ci_low"] < 75 < asked["ci_high"]
    assert np.isnan(unasked["value"]) and unasked["n"] == 0
    assert value(cells, "all broad questions", "broad")["value"] == 75


def test_question_only_accuracy_is_in_percent_and_skips_tests_without_rows():
    rows, _ = questions()
    cells = question_only_cells(rows, {"test": rows, "dev": rows.head(0)})
    assert value(cells, "majority, test", "S-Verify")["value"] == 75
    assert not any("dev" in cell["row"] for cell in cells)


def test_pairs_level_yes_and_weights_level_normal():
    rows, normal = questions()
    paired, _ = pair_verify(rows, seed=0)
    table = audit_by_kind(rows, paired, normal)
    broad = table.loc["broad"]
    assert (broad["rows"], broad["pairs"]) == (8, 2)
    assert (broad["yes before"], broad["yes paired"]) == (0.25, 0.5)
    assert (broad["normal before"], broad["normal paired"]) == (0.75, 0.5)
    assert broad["normal weighted"] == pytest.approx(normal.mean())
    cells = audit_cells(table)
    assert value(cells, "broad", "yes paired")["n"] == 4
    assert value(cells, "broad", "normal before")["value"] == 75

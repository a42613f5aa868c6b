"""Tests of the cells of the cohort table and the bias tables, on cohorts counted by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from ecg_lib.errors import DataError
from ecg_lib.questions.audit import METHODS, audit_methods
from ecg_lib.questions.sampling_arithmetic import IS_NORMAL
from ecg_lib.report import style
from ecg_lib.report.bias_tables import audit_cells, question_only_cells, table1_cells
from ecg_lib.report.cohort_table import clearest, cohort_cells, label_counts
from ecg_lib.report.figures.bias_plots import debias_audit

BROAD = "Is there anything unusual in this ECG?"
UNASKED = "Is ischemic in anterior leads indicated by this ECG?"
PAPER = pd.DataFrame({"row": [BROAD, UNASKED], "column": ["broad", "specific"]})


def store(heights=(1.0, 1.0, 1.0, 1.0)):
    """Make four ECGs of three patients; the second left bundle branch block is the cleaner one."""
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
    """Make a broad question asked of 6 normal and 2 abnormal ECGs; tell by id which are normal."""
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
    assert value(cells, "Mine", "% normal")["value"] == 25


def test_a_source_that_never_calls_an_ecg_normal_has_no_share_of_normal_ones():
    silent = store()
    silent.records["normal"] = False
    assert np.isnan(value(cohort_cells({"Mine": silent}), "Mine", "% normal")["value"])


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


def test_whether_an_ecg_is_normal_is_not_pooled_with_whether_anything_is_wrong():
    rows, normal = questions()
    well = rows.assign(template_id=2, question="Is this ECG normal?").iloc[4:]
    cells = table1_cells(pd.concat([rows, well]), normal, PAPER)
    assert value(cells, "all broad questions", "broad")["value"] == 75
    assert value(cells, IS_NORMAL, "broad")["value"] == 50
    assert value(cells, IS_NORMAL, "broad")["n"] == 4


def test_question_only_accuracy_is_in_percent_and_skips_tests_without_rows():
    rows, _ = questions()
    cells = question_only_cells(rows, {"test": rows, "dev": rows.head(0)})
    assert value(cells, "majority, test", "S-Verify")["value"] == 75
    assert not any("dev" in cell["row"] for cell in cells)


def test_readers_who_are_told_the_severity_have_rows_of_their_own():
    rows, normal = questions()
    cells = question_only_cells(rows, {"test": rows}, normal)
    assert value(cells, "majority, test", "S-Verify")["value"] == 75
    assert value(cells, "majority, severity known, test", "S-Verify")["value"] == 100


def test_the_audit_has_a_row_for_each_kind_and_method_in_percent():
    rows, normal = questions()
    cells = audit_cells(audit_methods(rows, normal, seed=0, base=0.6))
    assert [c["row"] for c in cells[::2]] == [f"broad, {method}" for method in METHODS]
    asked, pairs = (value(cells, f"broad, {m}", "yes") for m in ("as asked", "pairs"))
    assert (asked["value"], asked["n"]) == (25, 8) and asked["ci_low"] < 25 < asked["ci_high"]
    assert (pairs["value"], pairs["n"]) == (50, 4) and np.isnan(pairs["ci_low"])
    assert value(cells, "broad, as asked", "normal")["value"] == 75
    assert value(cells, "broad, weights", "normal")["value"] == pytest.approx(60)
    assert value(cells, "broad, strata", "normal")["value"] == 60


def audit_figure(kind_of_template=12):
    rows, normal = questions()
    rows["template_id"] = kind_of_template
    audits = [audit_methods(rows, normal, seed=0, by=by, base=0.6) for by in ("question", "kind")]
    return debias_audit(*audits, 0.6, "made-up cohort")


def test_the_audit_figure_draws_each_method_where_the_audit_puts_it():
    left, right = audit_figure().axes
    dots = [line.get_xdata()[0] for line in left.lines if line.get_marker() == "o"]
    assert dots == pytest.approx([25, 50, 40, 40, 25])
    marks = [line.get_xdata()[0] for line in right.lines if line.get_marker() == "o"]
    assert marks == pytest.approx([75, 50, 60, 60, 75])
    whole = right.lines[-1].get_xdata()
    assert list(whole) == [60, 60] and "(%)" in left.get_xlabel() and "(%)" in right.get_xlabel()


def test_the_audit_figure_fits_its_frame_says_whose_numbers_it_shows_and_needs_some():
    with style.use():
        fig = audit_figure()
        fig.draw_without_rendering()
        drawn = fig.get_tightbbox()
    width, height = fig.get_size_inches()
    assert drawn.x0 >= -0.01 and drawn.x1 <= width + 0.01
    assert drawn.y0 >= -0.01 and drawn.y1 <= height + 0.01
    texts = " ".join(t.get_text() for t in fig.findobj(Text))
    assert "made-up cohort" in texts and "95 % intervals" in texts
    with pytest.raises(DataError, match="no broad, specific or noise"):
        audit_figure(kind_of_template=39)

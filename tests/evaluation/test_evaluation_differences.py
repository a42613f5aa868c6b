"""Test differences in accuracy between two sets of answers to the same questions."""

import numpy as np
import pandas as pd
import pytest

from ecg_lib.errors import DataError
from ecg_lib.evaluation.differences import ALL, AVERAGE, difference_table

ROWS = pd.DataFrame({"question_type": ["single-verify"] * 60 + ["single-query"] * 20})


def series(*parts):
    return pd.Series(np.concatenate(parts).astype(float))


def test_a_difference_by_type_their_average_and_all_rows():
    a = series(np.ones(60), np.zeros(20))
    b = series(np.r_[np.ones(30), np.zeros(30)], np.zeros(20))
    table = difference_table(a, b, ROWS).set_index("column")
    assert table.loc["S-Verify", ["value", "n"]].tolist() == [50.0, 60]
    assert table.loc["S-Verify", "ci_low"] < 50 < table.loc["S-Verify", "ci_high"]
    assert table.loc["S-Query", ["value", "ci_low", "ci_high"]].tolist() == [0.0, 0.0, 0.0]
    assert table.loc[AVERAGE, ["value", "n"]].tolist() == [25.0, 80]
    assert table.loc[ALL, ["value", "n"]].tolist() == [37.5, 80]
    assert np.isnan(table.loc["CI-Query", "value"]) and table.loc["CI-Query", "n"] == 0


def test_the_same_answers_differ_by_nothing_and_swapped_ones_by_the_negative():
    rng = np.random.default_rng(0)
    a, b = (pd.Series(rng.random(80) < 0.5) for _ in range(2))
    assert (difference_table(a, a, ROWS)["value"].dropna() == 0).all()
    one, other = (difference_table(*pair, ROWS)["value"] for pair in ((a, b), (b, a)))
    pd.testing.assert_series_equal(one, -other)


def test_many_questions_on_one_patient_widen_the_interval():
    a = series(np.tile([1, 1, 1, 1, 1, 0, 0, 0, 0, 0], 8))
    alone = difference_table(a, 0 * a, ROWS).set_index("column").loc["S-Verify"]
    patient = pd.Series(np.arange(80) // 5)
    grouped = difference_table(a, 0 * a, ROWS, groups=patient).set_index("column").loc["S-Verify"]
    assert grouped["value"] == alone["value"]
    assert grouped["ci_high"] - grouped["ci_low"] > 1.3 * (alone["ci_high"] - alone["ci_low"])


def test_only_the_columns_asked_for_count():
    a = series(np.ones(60), np.zeros(20))
    table = difference_table(a, 0 * a, ROWS, ["S-Verify"]).set_index("column")
    assert list(table.index) == ["S-Verify", AVERAGE, ALL]
    assert (table["value"] == 100).all() and (table["n"] == 60).all()


def test_answers_to_other_rows_are_refused():
    with pytest.raises(DataError, match="the same rows"):
        difference_table(series(np.ones(3)), series(np.ones(3)), ROWS)

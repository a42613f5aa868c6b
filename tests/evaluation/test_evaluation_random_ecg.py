"""Test the random-ECG control: which ECGs may replace which, and how large the drop is."""

import time

import numpy as np
import pandas as pd
import pytest

from ecg_lib.errors import DataError
from ecg_lib.evaluation.random_ecg import donors, drop_table


def make_records(patients=40, ecgs_each=3, seed=0):
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), ecgs_each)
    return pd.DataFrame(
        {
            "ecg_id": [f"simulated/{i:06d}" for i in range(len(patient))],
            "patient_id": [f"p{p}" for p in patient],
            "split": np.array(["test", "train"])[patient % 2],
            "normal": rng.random(len(patient)) < 0.5,
        }
    )


def make_rows(records, n=300, seed=1):
    rng = np.random.default_rng(seed)
    test = records[records["split"] == "test"]
    kinds = ["single-verify", "comparison_consecutive-verify", "comparison_irrelevant-verify"]
    rows = []
    for i in range(n):
        size = 1 if i % 3 == 0 else 2
        ids = list(rng.choice(test["ecg_id"], size=size, replace=False))
        rows.append({"question_type": kinds[i % 3], "ecg_id": ids, "answer": ["yes"]})
    return pd.DataFrame(rows, index=range(100, 100 + n))


@pytest.mark.parametrize("match", [None, "normal"])
def test_donors_are_of_the_split_of_other_patients_and_all_different(match):
    records = make_records()
    facts = records.set_index("ecg_id")
    rows = make_rows(records)
    replaced = donors(rows, records, seed=0, match=match)
    assert replaced.index.equals(rows.index)
    for before, after in zip(rows["ecg_id"], replaced["ecg_id"], strict=True):
        assert len(after) == len(before) == len(set(after))
        assert not set(facts.loc[after, "patient_id"]) & set(facts.loc[before, "patient_id"])
        assert (facts.loc[after, "split"] == "test").all()
        if match:
            assert facts.loc[after, "normal"].tolist() == facts.loc[before, "normal"].tolist()


def test_only_the_ecg_changes_and_the_given_rows_stay_as_they_were():
    records = make_records()
    rows = make_rows(records)
    before = rows.copy(deep=True)
    replaced = donors(rows, records, seed=0)
    pd.testing.assert_frame_equal(rows, before)
    pd.testing.assert_frame_equal(rows.drop(columns="ecg_id"), replaced.drop(columns="ecg_id"))


def test_donors_are_fixed_by_the_seed():
    records = make_records()
    rows = make_rows(records)
    first, again, other = (donors(rows, records, seed=s)["ecg_id"] for s in (3, 3, 4))
    assert first.equals(again)
    assert not first.equals(other)


def test_every_other_ecg_of_the_split_is_about_as_likely():
    records = make_records(patients=8, ecgs_each=1)
    ids = records.loc[records["split"] == "test", "ecg_id"]
    rows = pd.DataFrame({"question_type": "single-verify", "ecg_id": [[ids.iloc[0]]] * 3000})
    counts = donors(rows, records, seed=0)["ecg_id"].str[0].value_counts()
    assert set(counts.index) == set(ids[1:])
    assert counts.min() > 900


def test_a_rare_possible_pair_is_found_and_an_impossible_one_reported():
    records = pd.DataFrame(
        {
            "ecg_id": ["a1", "a2", "b1", "c1"],
            "patient_id": ["a", "a", "b", "c"],
            "split": "test",
            "normal": [True, False, True, False],
        }
    )
    rows = pd.DataFrame({"question_type": "x", "ecg_id": [["a1", "a2"]] * 20})
    drawn = donors(rows, records, seed=0)["ecg_id"]
    assert {tuple(sorted(pair)) for pair in drawn} == {("b1", "c1")}
    with pytest.raises(DataError, match="no donor for a1, b1"):
        donors(pd.DataFrame({"ecg_id": [["a1", "b1"]]}), records, seed=0)
    with pytest.raises(DataError, match="z9 is not among the records"):
        donors(pd.DataFrame({"ecg_id": [["z9"]]}), records, seed=0)


def test_twenty_thousand_rows_take_seconds():
    records = make_records(patients=2000, ecgs_each=2)
    rows = make_rows(records, n=300).sample(20_000, replace=True, random_state=0, ignore_index=True)
    started = time.perf_counter()
    donors(rows, records, seed=0, match="normal")
    assert time.perf_counter() - started < 8


def test_the_drop_is_the_difference_and_the_average_weighs_types_equally():
    rows = make_rows(make_records())
    kind = rows["question_type"]
    original = pd.Series(True, index=rows.index)
    lost = (kind == "single-verify") & (np.arange(len(rows)) % 2 == 0)  # half of one type
    table = drop_table(original, ~lost, rows).set_index(["row", "column"])
    assert table.loc[("drop", "S-Verify"), "value"] == pytest.approx(50.0)
    assert table.loc[("drop", "CC-Verify"), "value"] == 0
    assert table.loc[("drop", "average"), "value"] == pytest.approx(50 / 3)
    assert table.loc[("random ECG", "average"), "value"] == pytest.approx(100 - 50 / 3)
    low, high = table.loc[("drop", "average"), ["ci_low", "ci_high"]]
    assert 10 < low < 50 / 3 < high < 24
    assert table.loc[("drop", "average"), "n"] == len(rows)


def test_a_type_without_questions_has_no_number_and_no_part_in_the_average():
    rows = make_rows(make_records())
    rows = rows[rows["question_type"] != "comparison_consecutive-verify"]
    right = pd.Series(True, index=rows.index)
    table = drop_table(right, right, rows).set_index(["row", "column"])
    assert np.isnan(table.loc[("drop", "CC-Verify"), "value"])
    assert table.loc[("original ECG", "average"), "value"] == 100

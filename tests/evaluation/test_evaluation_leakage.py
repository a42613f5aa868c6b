"""Test the leakage audit: which ECGs a part holds, and that memorised ECGs are detected."""

import numpy as np
import pandas as pd
import pytest

from ecg_lib.data.prepare import find_cohort
from ecg_lib.evaluation.leakage import ALL, CLEAN, FOLDS, MEAN, SEEN, TEST, audit_cells, parts_of
from ecg_lib.questions.ecgqa_rows import read_ecg_ids


@pytest.fixture
def records():
    """400 ECGs of 200 patients in ten folds; every second ECG has atrial fibrillation."""
    rows = [
        {
            "ecg_id": f"ptbxl/{i:05d}",
            "patient_id": str(i // 2),
            "labels": {"AFIB": 100} if i % 2 else {"SR": 0},
            "attributes": {"strat_fold": 1 + i // 40},
        }
        for i in range(400)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def asked(records):
    """ECG-QA's splits: six of ten patients for training, two for testing, two left out."""
    split = {**dict.fromkeys(range(6), "train"), 6: "test", 7: "test"}
    last = records["patient_id"].astype(int) % 10
    return {
        e: split[digit] for e, digit in zip(records["ecg_id"], last, strict=True) if digit in split
    }


def test_the_parts_are_those_of_folds_and_of_ecgqas_lists(records, asked):
    parts = parts_of(records, asked)
    assert {name: int(rows.sum()) for name, rows in parts.items()} == {
        ALL: 400,
        TEST: 80,
        FOLDS: 80,
        CLEAN: 32,
    }
    clean = records[parts[CLEAN]]
    assert {asked.get(e) for e in clean["ecg_id"]} == {"test", None}
    assert {a["strat_fold"] for a in clean["attributes"]} == {9, 10}


def test_a_cohort_without_folds_or_without_ecgqa_says_so_in_one_cell(records, asked):
    bare = records.assign(attributes=[{}] * len(records))
    assert parts_of(bare, asked) == parts_of(records, {}) == {}
    (cell,) = audit_cells("LUDB", bare, {}, {}, asked, 50, 0, 5)
    assert "no folds" in cell["row"] and np.isnan(cell["value"]) and cell["n"] == 400


def test_a_model_that_knows_its_training_ecgs_by_heart_is_found_out(records, asked):
    rng = np.random.default_rng(0)
    truth = np.array([0, 1] * 200)
    seen = records["ecg_id"].map(asked).eq("train").to_numpy()
    scores = pd.DataFrame({"AF": np.where(seen, truth, rng.random(400))})
    cells = audit_cells(
        "PTB-XL", records, parts_of(records, asked), {"CLIP": scores}, asked, 100, 0, 5
    )
    table = {(c["row"].removeprefix("CLIP, PTB-XL, "), c["column"]): c for c in cells}
    assert table[FOLDS, "AF"]["value"] > 80 > 70 > table[CLEAN, "AF"]["value"]
    assert table[FOLDS, SEEN]["value"] == 60 and table[FOLDS, SEEN]["n"] == 80
    assert table[CLEAN, SEEN]["value"] == 0 == table[TEST, SEEN]["value"]
    assert table[CLEAN, "AF"]["ci_low"] < 50 < table[CLEAN, "AF"]["ci_high"]
    assert table[CLEAN, MEAN]["value"] == table[CLEAN, "AF"]["value"]
    assert table[CLEAN, MEAN]["n"] == 1


def test_a_label_that_a_part_cannot_carry_is_in_no_mean(records, asked):
    records.loc[records.index[:20], "labels"] = [{"RVH": 100}] * 20  # in fold 1 only
    scores = pd.DataFrame({"AF": np.arange(400) % 2, "RVH": np.arange(400) < 20}, dtype=float)
    cells = audit_cells(
        "PTB-XL", records, parts_of(records, asked), {"CLIP": scores}, asked, 50, 0, 5
    )
    table = {(c["row"].removeprefix("CLIP, PTB-XL, "), c["column"]): c for c in cells}
    assert table[ALL, "RVH"]["value"] == 100 and np.isnan(table[FOLDS, "RVH"]["value"])
    assert {table[part, MEAN]["n"] for part in (ALL, TEST, FOLDS, CLEAN)} == {1}


def test_most_of_the_real_held_out_folds_are_in_ecgqas_training(real_data):
    root = find_cohort(real_data, "ecgqa")
    asked = {e: s for s in ("train", "valid", "test") for e in read_ecg_ids(root, "ptbxl", s)}
    table = pd.read_csv(find_cohort(real_data, "ptbxl") / "ptbxl_database.csv")
    records = pd.DataFrame(
        {
            "ecg_id": [f"ptbxl/{i:05d}" for i in table["ecg_id"]],
            "attributes": [{"strat_fold": f} for f in table["strat_fold"]],
        }
    )
    parts = parts_of(records, asked)
    folds = records[parts[FOLDS]]
    assert 0.65 < folds["ecg_id"].map(asked).eq("train").mean() < 0.8
    assert not records[parts[CLEAN]]["ecg_id"].map(asked).eq("train").any()

"""Test published label files: columns by name, whole codes, records by name, and as released."""

import numpy as np
import pandas as pd
import pytest
from released_sets import LABELS, LISTED, SET, store_of, write_files, write_set

from ecg_lib.errors import DataError
from ecg_lib.evaluation.label_defects import class_defects
from ecg_lib.evaluation.probe import part_of
from ecg_lib.evaluation.released_draw import record_draw, released_draw
from ecg_lib.evaluation.released_files import record_names
from ecg_lib.evaluation.released_task import with_released
from ecg_lib.evaluation.task import load_task

TURNED = {"valid": ["C", "A", "AB"], "test": ["C", "A", "AB"]}  # train: A, AB, C
CODED = SET.replace("cohorts: [ptbxl]}", "cohorts: [ptbxl], codes: diagnose}")
IDS = {record: f"ptbxl/{record:05d}" for record in LISTED}


@pytest.fixture
def task(tmp_path):
    return load_task(write_set(tmp_path))


def bits(table):
    return table.astype(int).to_numpy().tolist()


# -- reading -----------------------------------------------------------------------------------


def test_the_order_of_columns_means_nothing(task, tmp_path):
    plain = with_released(task, write_files(tmp_path / "plain")).listed
    turned = with_released(task, write_files(tmp_path / "turned", TURNED)).listed
    for one in (plain, turned):
        pd.testing.assert_frame_equal(one.targets, plain.targets)
        pd.testing.assert_frame_equal(one.scored, plain.targets)
    assert bits(plain.targets) == [list(cells) for _, cells in LISTED.values()]
    assert plain.split.tolist() == [split for split, _ in LISTED.values()]
    assert list(plain.targets) == LABELS and not plain.moved
    assert dict(turned.moved) == {"A": "C", "AB": "A", "C": "AB"}


def test_as_released_a_probe_is_scored_by_position_and_zero_shot_by_name(task, tmp_path):
    files = write_files(tmp_path, TURNED)
    store = store_of({ecg_id: {"SR": 0} for ecg_id in IDS.values()})
    released = with_released(task, files, corrected=False)
    assert bits(released.targets(store.records)) == [list(cells) for _, cells in LISTED.values()]
    part = part_of(store, released.test_rows(store), np.ones((3, 1)), released)
    # position 0 is A in train and C in test, position 1 AB and A, position 2 C and AB
    assert bits(part.targets) == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
    train, _ = released.rows(store, store)
    assert bits(released.scored(store.records.iloc[train])) == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_whole_codes_replace_columns_that_were_filled_by_substring(tmp_path):
    task = load_task(write_set(tmp_path, CODED))
    codes = {1: "A", 2: "AB", 3: "C, X", 4: "A,C", 5: "A", 6: "AB", 70: "C"}
    filled = {
        record: (split, tuple(int(label in codes[record]) for label in LABELS))
        for record, (split, _) in LISTED.items()
    }
    files = write_files(tmp_path, listed=filled, codes=codes)
    true, released = (with_released(task, files, corrected).listed for corrected in (True, False))
    assert bits(true.targets) == [list(cells) for _, cells in LISTED.values()]
    assert released.targets["A"].sum() == 5 and true.targets["A"].sum() == 3
    found = class_defects(task, files).set_index("label")
    assert found["wrong"].to_dict() == {"A": 2, "AB": 0, "C": 0}
    assert found.loc["A", ["test_true", "test_released"]].tolist() == [1, 2]
    # of the two ECGs with A as released, the reader of the true labels ranks one above the other
    # ECG and ties with it at the second: (1 + 0.5) / 2
    assert found.at["A", "ceiling"] == 75 and found.at["AB", "ceiling"] == 100


def test_the_hash_tells_files_and_corrections_apart(task, tmp_path):
    files = write_files(tmp_path)
    hashes = [task.hash] + [with_released(task, files, way).hash for way in (True, False)]
    write_files(tmp_path, listed=LISTED | {5: ("test", (0, 0, 1))})
    hashes.append(with_released(task, files).hash)
    assert len(set(hashes)) == 4


# -- joining -----------------------------------------------------------------------------------


def test_a_record_is_named_by_the_last_part_of_its_path_without_zeros():
    cells = ["/chapman/WFDBRecords/08/089/JS08246.mat", "A0001", 9, "ptbxl/00009", "ningbo/JS00010"]
    assert record_names(cells) == ["JS08246", "A0001", "9", "9", "JS00010"]


def test_records_are_joined_by_name_and_the_absent_ones_counted(task, tmp_path):
    released = with_released(task, write_files(tmp_path))
    # number 5 of another cohort is another ECG; number 8 is not listed
    ids = ["ptbxl/00070", "ptbxl/00001", "simulated/00005", "ptbxl/00008", "ptbxl/00004"]
    store = store_of({ecg_id: {"AFIB": 100} for ecg_id in ids})
    assert released.members(store.records).tolist() == [True, True, False, False, True]
    assert [rows.tolist() for rows in released.rows(store, store)] == [[1], [0]]
    targets = released.targets(store.records)
    assert targets.index.equals(store.records.index)
    assert targets.iloc[0].tolist() == [False, False, True], "the files count, not the store"
    assert targets.iloc[2].isna().all()
    assert released.at_hand(store).loc["train"].to_dict() == {
        "listed": 3,
        "at_hand": 1,
        "absent": 2,
    }


def test_files_and_store_agree_where_both_know_an_ecg(task, tmp_path):
    released, code = with_released(task, write_files(tmp_path)), ["AFIB", "AFLT", "SR"]
    folds = {IDS[r]: {"train": 3, "valid": 9, "test": 10}[own] for r, (own, _) in LISTED.items()}
    labels = {
        IDS[record]: {c: 15.0 for c, cell in zip(code, cells, strict=True) if cell}
        for record, (_, cells) in LISTED.items()
    }
    store = store_of(labels | {"ptbxl/00099": {"IMI": 100}}, folds | {"ptbxl/00099": 10})
    for one, two in zip(task.rows(store, store), released.rows(store, store), strict=True):
        assert one.tolist() == two.tolist()
    assert task.members(store.records).tolist() == [True] * 7 + [False]  # none of its labels
    own = store.records[:7]
    pd.testing.assert_frame_equal(
        task.targets(own), released.targets(own).astype(bool), check_dtype=False
    )


# -- the released draw -------------------------------------------------------------------------


def test_the_released_draw_takes_records_rounded_down_and_only_those_at_hand(task, tmp_path):
    listed = {n: ("train" if n < 200 else "test", (1, 0, 0)) for n in range(1, 260)} | {
        300: ("valid", (0, 1, 0))
    }
    released = with_released(task, write_files(tmp_path, listed=listed))
    whole = store_of({f"ptbxl/{n:05d}": {} for n in range(1, 200)}).records
    few = released_draw(released, whole)(pd.DataFrame(), np.array([]), 0.1, 42)
    assert len(few) == 19 and few.tolist() == record_draw(199, 0.1).tolist()
    half = whole.iloc[::2]
    kept = released_draw(released, half)(pd.DataFrame(), np.array([]), 0.1, 42)
    assert (2 * kept).tolist() == [row for row in few if row % 2 == 0]
    assert released_draw(task, half)(pd.DataFrame(), np.array([]), 1.0, 42).tolist() == list(
        range(100)
    )
    assert len(record_draw(50, 0.01)) == 0


# -- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("A,AB,C", "A,AB,D", "no column C"),
        ("1,1.5,1,0,0", "1,1.5,2,0,0", "A of row 2 is '2'; give 0 or 1"),
        ("2,2.5", "00001,2.5", "list record 1 twice"),
        ("2,2.5", "5,2.5", "list record 5 twice"),
    ],
)
def test_a_damaged_file_is_one_line_that_names_it(old, new, words, task, tmp_path):
    path = write_files(tmp_path) / "small" / "small_train.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError) as error:
        with_released(task, tmp_path)
    assert words in str(error.value) and "\n" not in str(error.value)
    assert "small_" in str(error.value)


def test_absent_files_are_named(task, tmp_path):
    with pytest.raises(DataError, match=r"no small/small_train\.csv in"):
        with_released(task, tmp_path)
    (write_files(tmp_path) / "small" / "small_val.csv").unlink()
    with pytest.raises(DataError, match=r"no small_val\.csv"):
        with_released(task, tmp_path)
    with pytest.raises(DataError, match="superclasses has no published label files"):
        with_released(load_task("superclasses.yaml"), tmp_path)


@pytest.mark.parametrize(
    "old, new, field",
    [
        ("valid: [9]", "valid: 9", "valid"),
        ("split: {strat_fold: [10]}", "split: store", "valid"),
        ("stated: true", "stated: often", "stated"),
        ("means: [1, 10]", "means: [0]", "means"),
        ("means: [1, 10]", "means: ten", "means"),
        ("record: ecg_id, ", "", "released"),
        ("cohorts: [ptbxl]}", "cohorts: ptbxl}", "released"),
        ("cohorts: [ptbxl]}", "cohorts: [ptbxl], folds: 10}", "released"),
    ],
)
def test_a_wrong_field_of_a_published_set_is_named(old, new, field, tmp_path):
    assert old in SET
    with pytest.raises(DataError) as error:
        load_task(write_set(tmp_path, SET.replace(old, new)))
    assert str(error.value).startswith(f"small.yaml: {field}: ") and "\n" not in str(error.value)


def test_only_a_published_set_may_have_a_label_without_codes(tmp_path):
    lacking = SET.replace("codes: [AFIB]", "codes: []")
    task = load_task(write_set(tmp_path, lacking))
    targets = task.targets(store_of({"ptbxl/00001": {"AFIB": 100, "SR": 0}}).records)
    assert targets["A"].isna().all() and targets["C"].tolist() == [True]
    plain = "\n".join(line for line in lacking.splitlines() if not line.startswith("released"))
    with pytest.raises(DataError, match=r"labels\.A\.codes"):
        load_task(write_set(tmp_path, plain))

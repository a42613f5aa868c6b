"""Test that an odd row of an ECG-QA shard costs itself alone."""

import json

import pytest

from ecg_lib.errors import DataError
from ecg_lib.questions.ecgqa_rows import read_ecg_ids, read_ecgqa

ROW = {
    "template_id": 1,
    "question_id": 1,
    "question_type": "single-verify",
    "attribute_type": "scp_code",
    "question": "Does this ECG show atrial fibrillation?",
    "answer": ["yes"],
    "attribute": ["atrial fibrillation"],
}


def release(root, *rows):
    folder = root / "ptbxl" / "paraphrased" / "train"
    folder.mkdir(parents=True)
    (folder / "0.json").write_text(json.dumps(rows))
    return root


@pytest.mark.parametrize(
    "odd",
    [
        {"ecg_id": None},
        {"ecg_id": ["x"]},
        {"answer": None},
        {"answer": []},
        {"answer": [None]},
        {"question": None},
        {"sample_id": "x"},
    ],
)
def test_a_row_without_answer_or_ecg_is_left_out_with_a_warning(tmp_path, odd):
    rows = [ROW | {"sample_id": n, "ecg_id": [n]} for n in range(3)]
    root = release(tmp_path, rows[0] | odd, *rows[1:], None, {})
    with pytest.warns(UserWarning, match="3 rows cannot be read"):
        read = read_ecgqa(root)
    assert list(read.ecg_id) == [["ptbxl/00001"], ["ptbxl/00002"]]


def test_a_shard_of_which_no_row_can_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match="no row has an answer"):
        read_ecgqa(release(tmp_path, ROW | {"sample_id": 0, "ecg_id": "1"}))


def test_an_odd_line_among_the_ids_of_a_split_is_named(tmp_path):
    (tmp_path / "ptbxl").mkdir()
    (tmp_path / "ptbxl" / "test_ecgs.tsv").write_text("0\t17\n1\tx17\n")
    with pytest.raises(DataError, match="line 2 ends in 'x17'"):
        read_ecg_ids(tmp_path, "ptbxl", "test")

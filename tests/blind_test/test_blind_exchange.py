"""Test that a model that runs elsewhere is judged as if it had been called from here."""

import json

import numpy as np
import pandas as pd
import pytest
from blind_cohort import question_set

from ecg_lib.blind_test import blind_test
from ecg_lib.blind_test.blind_models import TrueLabels
from ecg_lib.blind_test.blind_plan import Plan
from ecg_lib.blind_test.exchange import export, score
from ecg_lib.errors import DataError


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An exported test, with the answers of the model that knows the truth."""
    questions = question_set(patients=40)
    folder = tmp_path_factory.mktemp("exported")
    export(questions, Plan.of(questions), folder)
    model, lines = TrueLabels(questions), []
    for line in (folder / "questions.jsonl").read_text().splitlines():
        asked = json.loads(line)
        ecgs = [np.load(folder / file) for file in asked["ecgs"]]
        assert all(own.shape == (12, 200) and own.dtype == np.float32 for own in ecgs)
        lines.append({"id": asked["id"], "answer": model([ecgs], [asked["question"]])[0]})
    return questions, folder, lines


def write(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_answers_made_elsewhere_give_the_same_table(exported, tmp_path):
    questions, folder, lines = exported
    result = score(folder, write(tmp_path / "a.jsonl", lines[::-1]), "true labels", resamples=50)
    here = blind_test(TrueLabels(questions), questions, resamples=50, progress=False)
    pd.testing.assert_frame_equal(result.table, here.table)
    assert result.verdict == here.verdict


def test_the_files_tell_nothing_about_patient_condition_or_answer(exported):
    questions, folder, lines = exported
    text = (folder / "questions.jsonl").read_text()
    assert not any(ecg in text for ecg in questions.ecgs["ecg_id"])
    assert not any(word in text for word in ("zeroed", "random", "matched", "own ECG"))
    ids = [line["id"] for line in lines]
    assert sorted(ids) == list(range(len(ids))) and ids != sorted(ids)
    assert {path.name for path in folder.iterdir()} == {
        "questions.jsonl",
        "ecgs",
        "ecgs.json",
        "key",
    }


def test_a_question_without_an_answer_is_counted_as_missing(exported, tmp_path):
    _, folder, lines = exported
    result = score(folder, write(tmp_path / "a.jsonl", lines[: len(lines) // 2]), "half", 50)
    states = result.replies["state"].value_counts()
    assert states["missing"] == len(lines) - len(lines) // 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not json", "line 1: write"),
        ('{"id": 0}', "line 1: write"),
        ('{"id": 10000000, "answer": "yes"}', "id 10000000 is not in"),
        ('{"id": "0", "answer": "yes"}', "id '0' is not in"),
        ('{"id": 0, "answer": "yes", "p_yes": 7}', "p_yes is 7.0"),
        ('{"id": 0, "answer": "yes"}\n{"id": 0, "answer": "no"}', "line 2: id 0 is answered twice"),
        ("", "no answers"),
    ],
)
def test_a_faulty_answer_is_named_with_its_line(exported, tmp_path, line, message):
    (tmp_path / "a.jsonl").write_text(line)
    with pytest.raises(DataError, match=message) as error:
        score(exported[1], tmp_path / "a.jsonl", "model")
    assert "\n" not in str(error.value)


def test_a_folder_without_an_export_is_named(tmp_path):
    with pytest.raises(DataError, match="no blind test there"):
        score(tmp_path, tmp_path / "a.jsonl", "model")

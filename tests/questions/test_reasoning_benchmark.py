"""Tests of the floor of ECG-Reasoning-Benchmark: what its questions alone reveal of the answers."""

import json

import pandas as pd
import pytest

from ecg_lib.errors import DataError
from ecg_lib.questions.reasoning_benchmark import (
    KINDS,
    SIGNATURE,
    question_floor,
    read_benchmark,
)


def value(rows, patients):
    return question_floor(rows, patients).set_index(["kind", "reader"])["value"]


def asked(words_of):
    """Make rows for 30 patients with one ECG each; every third answer is yes.

    `words_of(i)` is the question about the ECG of patient i.
    """
    lines = []
    for i in range(30):
        answer = "Yes" if i % 3 == 0 else "No"
        lines.append((f"ptbxl/{i:05d}", "finding", words_of(i), answer))
    rows = pd.DataFrame(lines, columns=["ecg_id", "kind", "question", "answer"])
    return rows, pd.Series(range(30), index=rows["ecg_id"])


def test_a_question_that_is_always_answered_alike_gives_its_answer_away():
    floor = value(*asked(lambda i: f"finding {i % 3}?"))
    assert (
        floor["finding", "majority"] == pytest.approx(2 / 3) and floor["finding", "question"] == 1
    )


def test_words_that_one_patient_alone_was_asked_tell_nothing():
    rows, patients = asked(lambda i: f"finding {i}?")
    twice = pd.concat([rows, rows], ignore_index=True)  # a patient's two rows are held out together
    floor = value(twice, patients)
    assert floor["finding", "question"] == floor["finding", "majority"] == pytest.approx(2 / 3)


def test_rows_of_unknown_patients_do_not_count():
    rows, patients = asked(lambda i: "finding?")
    assert (question_floor(rows, patients.iloc[:20])["n"] == 20).all()
    with pytest.raises(DataError, match="10 patients"):
        question_floor(rows, patients.iloc[:5])


def test_a_wrong_file_is_reported_with_its_line(tmp_path):
    first = {"question": "Q?", "answer": "No", "question_type": "initial_diagnostic_question"}
    data = {"initial_diagnostic_question": first, "reasoning": []}
    good = json.dumps({"metadata": {"ecg_id": "7"}, "data": data})
    (tmp_path / SIGNATURE).write_text(f'{good}\n{{"metadata": 1}}\n')
    with pytest.raises(DataError, match="line 2.*fetch the file again"):
        read_benchmark(tmp_path / SIGNATURE)
    (tmp_path / SIGNATURE).write_text(good)
    rows = read_benchmark(tmp_path / SIGNATURE)
    assert rows.to_numpy().tolist() == [["ptbxl/00007", "diagnosis", "Q?", "No"]]


def test_the_benchmark_s_own_questions_give_findings_away_to_other_patients(real_data):
    file = real_data / "ecg-reasoning-benchmark" / SIGNATURE
    if not file.is_file():
        pytest.skip(f"ECG-Reasoning-Benchmark is not at hand: no {file.name}")
    rows = read_benchmark(file)
    assert set(rows["kind"]) == set(KINDS.values())
    table = pd.read_csv(real_data / "ptbxl" / "ptbxl_database.csv")
    patients = table["patient_id"].set_axis("ptbxl/" + table["ecg_id"].astype(str).str.zfill(5))
    floor = value(rows, patients)
    assert floor["finding", "question"] > floor["finding", "majority"] + 0.1
    assert rows[rows["kind"] == "finding"]["question"].nunique() < 50

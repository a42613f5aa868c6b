"""Test the question sets of the blind test, and the command line from a CSV to a verdict."""

import json

import numpy as np
import pandas as pd
import pytest
from blind_cohort import question_set
from ecg_folders import beats, write_wfdb

from ecg_lib.__main__ import main
from ecg_lib.blind_test.question_set import closed
from ecg_lib.blind_test.sources import from_csv, from_rows, from_world
from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.store import EcgStore
from ecg_lib.data.write_store import write_store
from ecg_lib.errors import DataError
from ecg_lib.questions.build import build_questions
from ecg_lib.questions.schema import SPLITS
from ecg_lib.questions.worlds import find_world


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A prepared store of simulated ECGs."""
    folder = tmp_path_factory.mktemp("store") / "simulated"
    write_store(folder, SimulatedCohort(patients=150, seed=3))
    return EcgStore.open(folder)


@pytest.fixture
def records(tmp_path):
    """Forty WFDB records at 500 Hz, the odd ones with a tall R wave, and a CSV of questions."""
    lines = []
    for k in range(40):
        tall = k % 2
        write_wfdb(tmp_path / "records" / f"r{k:02d}", beats(seed=k) * (1 + tall))
        for wording, number in (("Is the voltage high?", 1), ("Are the R waves tall?", 1)):
            lines.append(
                {
                    "record": f"r{k:02d}",
                    "question": wording,
                    "answer": "Yes" if tall else "no",
                    "patient_id": f"p{k}",
                    "question_id": number,
                    "normal": int(k % 4 < 2),
                }
            )
    pd.DataFrame(lines).to_csv(tmp_path / "mine.csv", index=False)
    return tmp_path


def test_a_csv_becomes_a_question_set_with_records_at_100_hz(records):
    questions = from_csv(records / "mine.csv", records / "records")
    assert len(questions.rows) == 80 and len(questions.ecgs) == 40
    assert closed(questions.rows).all() and questions.rows["key"].nunique() == 1
    signals = questions.signals(["r00", "r01"])
    assert signals.shape == (2, 12, 1000)
    assert np.ptp(signals[1, 1]) == pytest.approx(2 * np.ptp(signals[0, 1]), rel=0.1)


def test_a_model_of_ones_own_is_tested_from_the_command_line(records, monkeypatch, capsys):
    (records / "tall_waves.py").write_text(
        "def answer(ecgs, questions):\n"
        "    return ['yes' if own[0][1].max() > 2.1 else 'no' for own in ecgs]\n"
    )
    monkeypatch.chdir(records)
    arguments = ["run", "--csv", "mine.csv", "--records", "records", "--resamples", "50"]
    assert main(["blind-test", *arguments, "--python", "tall_waves:answer", "--out", "out"]) == 0
    told = capsys.readouterr().out
    assert "answer reads findings in the ECG" in told and "answer, own ECG" in told
    table = pd.read_csv("out/blind_test.csv")
    own = table[(table["row"] == "answer, own ECG") & (table["column"] == "all questions")]
    assert own["value"].item() == 100


def test_export_and_score_from_the_command_line(records, monkeypatch, capsys):
    monkeypatch.chdir(records)
    source = ["--csv", "mine.csv", "--records", "records"]
    assert main(["blind-test", "export", *source, "--out", "asked", "--max-rows", "20"]) == 0
    lines = [json.loads(line) for line in open("asked/questions.jsonl")]
    with open("answers.jsonl", "w") as file:
        for line in lines:
            file.write(json.dumps({"id": line["id"], "answer": "no"}) + "\n")
    answers = ["--answers", "answers.jsonl", "--name", "silent", "--resamples", "50"]
    assert main(["blind-test", "score", "asked", *answers]) == 0
    assert "silent does not look at the ECG" in capsys.readouterr().out
    assert main(["blind-test", "export", *source, "--out", "asked"]) == 2
    assert "the folder is not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="patient_id"), "no column 'patient_id'"),
        (lambda t: t.assign(answer=t["answer"].where(t.index != 3, "")), "line 5: answer is empty"),
        (lambda t: t.assign(record=t["record"].where(t.index != 3, "r99")), "r99"),
        (lambda t: t.assign(record=t["record"].where(t.index != 3, "../x")), "lies outside"),
        (lambda t: t.assign(normal="maybe"), "line 2: normal is 'maybe'"),
        (
            lambda t: t.assign(patient_id=t["patient_id"].where(t.index != 1, "q")),
            "line 3: r00 is of patient p0",
        ),
        (
            lambda t: t.assign(normal=t["normal"].where(t.index != 1, 0)),
            "line 3: normal of r00 differs",
        ),
    ],
)
def test_a_faulty_csv_is_refused_with_its_line(records, change, message):
    table = change(pd.read_csv(records / "mine.csv", dtype={"normal": object}))
    table.to_csv(records / "bad.csv", index=False)
    with pytest.raises(DataError, match=message) as error:
        from_csv(records / "bad.csv", records / "records")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--world", "do", "--known", "always-no"], "--store is missing"),
        (["--csv", "none.csv", "--known", "always-no"], "none.csv"),
        (["--profile", "nowhere", "--known", "always-no"], "no such question file"),
    ],
)
def test_what_is_missing_is_said_in_one_line(arguments, message, capsys):
    assert main(["blind-test", "run", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_questions_are_built_in_each_world_and_know_their_answer_for_every_ecg(store):
    for world in ("ecgqa", "nature", "do"):
        questions = from_world(world, store, per_answer=5)
        rows = questions.rows[closed(questions.rows)]
        assert len(rows) and questions.name == f"{world}, test"
        assert (questions.truth(rows) == rows["answer"].str[0]).all()
        assert set(questions.ecgs["split"]) == {"test"}


def test_rows_about_ecgs_that_are_not_there_are_left_out(store):
    world = find_world("do")
    sizes = {part: world.sizes(5) for part in SPLITS}
    rows = build_questions(store.records, sizes, world, 0)["test"]
    odd = rows.assign(ecg_id=[["x/1"] if k == 0 else e for k, e in enumerate(rows["ecg_id"])])
    assert len(from_rows("some", odd, store).rows) == len(rows) - 1


def test_the_toy_set_has_patients_of_every_ecg():
    questions = question_set(patients=20)
    assert list(questions.patients) == questions.ecgs["patient_id"].tolist()

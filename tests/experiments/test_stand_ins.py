"""Tests of questions about stand-in ECGs: each is asked once, and samples stay balanced."""

import pandas as pd
import pytest
from questions_cohort import synthetic_records

from ecg_lib.errors import DataError
from ecg_lib.evaluation.severity_drops import MATCHED, OWN, RANDOM, severity_drops
from ecg_lib.experiments import stand_ins
from ecg_lib.questions.build import paired_test


@pytest.fixture(scope="module")
def rows():
    return paired_test(synthetic_records(1000), 10, 0, [1, 43, 57])


def test_a_sample_keeps_as_many_yes_as_no_of_every_question(rows):
    few = stand_ins.sample_pairs(rows, 40, seed=1)
    yes = few["answer"].str[0] == "yes"
    assert (yes.groupby(few["question_id"]).mean() == 0.5).all()
    assert few["question_type"].value_counts().tolist() == [40, 40, 40]
    assert few.equals(stand_ins.sample_pairs(rows, 40, seed=1))
    assert len(stand_ins.sample_pairs(rows, None, seed=1)) == len(rows)
    assert few["sample_id"].is_unique and few.index.tolist() == list(range(len(few)))


def test_each_question_about_the_same_ecgs_is_asked_once(monkeypatch, rows):
    seen = []

    def answer_arm(run, arm, asked, tokens):
        seen.append(asked)
        said = asked["question"] + " | " + asked["ecg_id"].str[0]
        return pd.DataFrame({"prediction": said, "p_yes": said.str.len() / 1000})

    monkeypatch.setattr(stand_ins, "answer_arm", answer_arm)
    few = rows.head(30).set_axis(range(100, 130))
    flat = few.assign(ecg_id=[["flat line"]] * 30)
    said = stand_ins.answer_stand_ins(None, "none", {OWN: few, "flat line": flat}, None)
    own, flat_line = said[OWN]["prediction"], said["flat line"]["prediction"]
    assert own.equals((few["question"] + " | " + few["ecg_id"].str[0]).rename("prediction"))
    assert flat_line.equals((few["question"] + " | flat line").rename("prediction"))
    assert said[OWN]["p_yes"].equals((own.str.len() / 1000).rename("p_yes"))
    (asked,) = seen
    assert (
        len(asked)
        == len(few.drop_duplicates("question")) + (few["question"] + few["ecg_id"].str[0]).nunique()
    )


def test_right_is_the_own_ecgs_answer_whatever_is_shown(rows):
    gold = rows["answer"].str[0]
    right = stand_ins.right_or_not({OWN: gold, "noise": pd.Series("no", rows.index)}, rows)
    assert right[OWN].all() and right["noise"].mean() == 0.5


def test_the_gap_is_the_difference_of_the_drops_and_the_own_ecg_is_needed():
    rows = pd.DataFrame(
        {"question_type": ["single-verify"] * 10, "ecg_id": [[f"e{k}"] for k in range(10)]}
    )
    patients = pd.Series({f"e{k}": f"p{k}" for k in range(10)})
    right = {
        donor: pd.Series([k < n for k in range(10)])
        for donor, n in ((OWN, 9), (RANDOM, 5), (MATCHED, 7))
    }
    table = severity_drops({"arm": right}, rows, patients, resamples=50)
    value = table[table["column"] == "S-Verify"].set_index("row")["value"]
    assert value.round(6).to_dict() == {
        "arm, own ECG": 90,
        "arm, random drop": 40,
        "arm, matched drop": 20,
        "arm, random - matched drop": 20,
    }
    with pytest.raises(DataError, match="own ECG"):
        severity_drops({"arm": {RANDOM: right[RANDOM]}}, rows, patients)

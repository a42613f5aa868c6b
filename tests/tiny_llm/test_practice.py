"""Tests that questions about written reports are true, unconfounded and never held-out wordings."""

from dataclasses import replace

import pandas as pd
import pytest

from ecg_lib.config import compose
from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.write_store import write_store
from ecg_lib.tiny_llm.llama import train_byte_pairs
from ecg_lib.tiny_llm.practice import ReportQuestions, label_rows, placed_rows
from ecg_lib.tiny_llm.synthetic_reports import PLACES, names_in_reports, single_tokens

PROMPT = "Does this ECG reveal any signs of {label}?"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    cohort = SimulatedCohort(patients=150, seed=3)
    return write_store(tmp_path_factory.mktemp("store") / "s", cohort)


@pytest.fixture(scope="module")
def questions(store):
    templates = tuple(compose("smoke").questions.templates)
    return ReportQuestions(store.records, templates, 16, PROMPT, paraphrased=0.5, seed=0)


def test_reading_practice_on_labels_says_yes_and_no_where_it_is_true(questions, store):
    practice = label_rows(store.records, 6, 0, PROMPT)
    af = practice[practice["question"].str.contains("atrial fibrillation")]
    assert set(af["answer"].str[0]) == {"yes", "no"}
    for row in af.itertuples():
        assert ("AFIB" in store.record(row.ecg_id[0]).labels) == (row.answer == ["yes"])


def test_reading_questions_are_not_confounded(questions, store):
    practice = questions.of_split("train")
    normal = store.records.set_index("ecg_id")["normal"]
    broad = practice[practice["template_id"] == 12]
    assert abs(normal[broad["ecg_id"].str[0]].mean() - normal.mean()) < 0.2
    asked = set(questions.of_split("test")["question"])
    assert not set(practice["question"]) & asked


def test_a_question_about_one_ecg_of_two_has_the_answer_of_that_ecg(questions, store):
    one = pd.DataFrame(
        {
            "template_id": 1,
            "question_id": [0, 0, 1, 1],
            "question_type": "single-verify",
            "question": ["Does this ECG show sinus rhythm?"] * 2 + ["Do you see pacing here?"] * 2,
            "answer": [["yes"], ["no"], ["no"], ["yes"]],
            "ecg_id": [["a"], ["b"], ["a"], ["b"]],
        }
    )
    two = one.iloc[:1].assign(question_type="comparison_irrelevant-verify", ecg_id=[["b", "a"]])
    placed = placed_rows(pd.concat([one, two]), n=40, seed=0)
    assert len(placed) == 80 and set(map(tuple, placed["ecg_id"])) == {("b", "a")}
    truth = {
        ("sinus rhythm", 0): "no",
        ("sinus rhythm", 1): "yes",
        ("pacing", 0): "yes",
        ("pacing", 1): "no",
    }
    seen = set()
    for question, answer in zip(placed["question"], placed["answer"], strict=True):
        what = "pacing" if "pacing" in question else "sinus rhythm"
        place = next(k for names in PLACES for k, name in enumerate(names) if name in question)
        assert answer == [truth[what, place]] and "this ECG" not in question
        seen.add((what, place))
    assert seen == set(truth)
    practice = questions(0)
    assert practice["question"].str.startswith("In the ").any()
    asked = questions.of_split("dev")["question"]
    assert not asked.str.startswith("In the ").any()


def test_every_pass_of_practice_has_other_questions_and_other_pairs(questions, store):
    first, again, other = map(questions, (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    compared = [{tuple(e) for e in rows["ecg_id"] if len(e) == 2} for rows in (first, other)]
    assert len(compared[0] & compared[1]) < len(compared[0]) / 2
    trained = set(store.records.loc[store.records["split"] == "train", "ecg_id"])
    assert {e for rows in (first, other) for ecgs in rows["ecg_id"] for e in ecgs} <= trained


def test_a_share_of_practice_is_asked_anew_and_never_as_it_is_tested(questions, store):
    plain, half, all_ = (
        set(replace(questions, paraphrased=share)(0)["question"]) for share in (0.0, 0.5, 1.0)
    )
    known = set(questions.of_split("train")["question"])
    known = {q for q in known if "reveal any signs" not in q}  # Table 4's prompt is never reworded
    assert len(known & plain) > len(known) / 3  # each pass keeps half of the rows
    assert not known & all_ and known & half and half - plain
    held_out = {q for split in ("dev", "test") for q in questions.of_split(split)["question"]}
    assert not (plain | half | all_) & held_out


def test_a_possible_finding_is_a_word_of_its_own():
    tokenizer = train_byte_pairs(["sinus rhythm"], 300, single_tokens())
    for name in names_in_reports():
        assert len(tokenizer(f"possible {name}")["input_ids"]) == 1
    assert len(tokenizer("not sure")["input_ids"]) == 1

"""Tests of turning answers into classes of the closed list, and back into text."""

import numpy as np
import pandas as pd
import pytest
from questions_cohort import synthetic_records

from ecg_lib.errors import DataError
from ecg_lib.questions.build import build_questions
from ecg_lib.questions.closed_vocabulary import admitted_matrix, answer_matrix, decode
from ecg_lib.questions.vocabulary import all_answers, answer_text

RANGES = ["below the normal range", "above the normal range"]


@pytest.fixture(scope="module")
def rows():
    return build_questions(synthetic_records(400, 0), seed=1)["train"]


def row(question_type, template_id, attribute=None):
    return pd.DataFrame(
        [{"question_type": question_type, "template_id": template_id, "attribute": attribute}]
    )


def scores(**probability):
    table = pd.DataFrame(np.zeros((1, 104)), columns=all_answers())
    for answer, value in probability.items():
        table[answer.replace("_", " ")] = value
    return table.to_numpy()


def test_certain_probabilities_decode_to_the_answers_of_every_kind_of_question(rows):
    said = decode(answer_matrix(rows).astype(float), rows)
    assert rows["question_type"].nunique() == 7
    assert said.tolist() == rows["answer"].map(answer_text).tolist()
    assert said.index.equals(rows.index)


def test_every_answer_of_a_built_question_is_one_that_it_admits(rows):
    assert not (answer_matrix(rows) & ~admitted_matrix(rows)).any()


def test_an_answer_that_the_question_does_not_admit_is_never_given():
    verify = row("single-verify", 1)
    assert decode(scores(lead_I=0.9, no=0.2, yes=0.1), verify).tolist() == ["no"]


def test_yes_and_no_exclude_each_other_and_labels_do_not():
    assert decode(scores(yes=0.8, no=0.9), row("single-verify", 1)).tolist() == ["no"]
    leads = row("single-query", 19)
    assert decode(scores(lead_I=0.8, lead_V5=0.6), leads).tolist() == ["lead I; lead V5"]


def test_none_stands_alone_and_the_likeliest_answer_is_given_where_none_is_likely():
    leads = row("single-query", 19)
    assert decode(scores(none=0.9, lead_I=0.7), leads).tolist() == ["lead I"]
    assert decode(scores(none=0.9), leads).tolist() == ["none"]
    assert decode(scores(lead_II=0.3, lead_I=0.2), leads).tolist() == ["lead II"]


def test_a_choose_question_admits_its_options_without_their_feature():
    options = row("single-choose", 40, [f"{r} of pr interval" for r in RANGES])
    names = np.array(all_answers())[admitted_matrix(options)[0]]
    assert set(names) == {*RANGES, "none"}


def test_an_answer_outside_the_list_has_no_class():
    other = pd.DataFrame({"answer": [["late stage of nothing at all", "yes"]]})
    assert np.array(all_answers())[answer_matrix(other)[0]].tolist() == ["yes"]


def test_probabilities_of_other_rows_are_refused():
    with pytest.raises(DataError, match="one row per question"):
        decode(np.zeros((2, 104)), row("single-verify", 1))

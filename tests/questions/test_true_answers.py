"""Tests of answering built questions again, about their own ECG and about another one."""

import pandas as pd
import pytest
from questions_cohort import synthetic_records

from ecg_lib.questions.build import build_questions
from ecg_lib.questions.draw import Sizes
from ecg_lib.questions.templates import load_templates
from ecg_lib.questions.true_answers import questions_of, true_answers
from ecg_lib.questions.vocabulary import answer_text


@pytest.fixture(scope="module")
def records():
    return synthetic_records(900)


@pytest.fixture(scope="module")
def rows(records):
    return build_questions(records, Sizes.per_answer(4), seed=0)["test"]


def test_every_built_row_of_every_type_is_answered_as_it_was_built(records, rows):
    assert rows["question_type"].nunique() == 7
    assert true_answers(rows, records).equals(rows["answer"].map(answer_text).rename("prediction"))


def test_the_ecg_that_the_row_names_is_the_one_that_counts(records, rows):
    first = load_templates()[1].questions()
    finding = {question.id: question.values["finding"] for question in first}
    one = rows[rows["question_id"] == next(i for i in rows["question_id"] if i in finding)].head(1)
    facts = records.set_index("ecg_id")["labels"]
    yes, no = (
        next(e for e in facts.index if (e in set(own["ecg_id"].str[0])))
        for own in (
            rows[(rows["question_id"] == one["question_id"].iloc[0]) & (rows["answer"].str[0] == a)]
            for a in ("yes", "no")
        )
    )
    assert true_answers(one.assign(ecg_id=[[yes]]), records).tolist() == ["yes"]
    assert true_answers(one.assign(ecg_id=[[no]]), records).tolist() == ["no"]
    assert true_answers(one.assign(ecg_id=[["flat line"]]), records).tolist() == [None]


def test_a_row_of_ecg_qa_is_known_by_template_and_attribute_and_others_not_at_all(rows):
    question = load_templates()[1].questions()[0]
    row = {
        "template_id": 1,
        "question_id": 7,  # ECG-QA's own number
        "sample_id": 0,
        "question_type": "single-verify",
        "attribute_type": "scp_code",
        "question": "In ECG-QA's own words?",
        "attribute": question.attribute(),
    }
    asked = pd.DataFrame([row, {**row, "attribute": ["an unheard-of thing"]}])
    assert [q and q.id for q in questions_of(asked)] == [question.id, None]
    # Without one of its wordings, the id of one of our questions proves nothing.
    other = load_templates()[1].questions()[3]
    assert questions_of(pd.DataFrame([{**row, "question_id": other.id}]))[0].id == question.id

"""do(question): the ECG is drawn by lot, so the question tells nothing about severity."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import binomtest
from simulated_labels import simulated_records

from ecg_lib.errors import DataError
from ecg_lib.questions.bias import kind_of, question_only, severity_information
from ecg_lib.questions.build import build_questions
from ecg_lib.questions.debias import yes_or_no
from ecg_lib.questions.facets import answer
from ecg_lib.questions.intervention import interventional_test, prevalence
from ecg_lib.questions.schema import template_key, validate_rows
from ecg_lib.questions.templates import load_templates
from ecg_lib.questions.worlds import find_world

TEMPLATES = [1, 2, 12, 13, 15, 23, 27, 29]


@pytest.fixture(scope="module")
def records():
    return simulated_records()


@pytest.fixture(scope="module")
def normal(records):
    return records.set_index("ecg_id").normal


@pytest.fixture(scope="module")
def train(records):
    return build_questions(records, world="nature", seed=1, templates=TEMPLATES)["train"]


@pytest.fixture(scope="module")
def rows(records, train):
    return interventional_test(records, 100, seed=1, asked=set(train.question_id))


def kind_effects(rows, normal):
    """99 % intervals of the log odds of a normal ECG by kind of question, against noise."""
    kinds = pd.get_dummies(kind_of(rows), dtype=float)[["broad", "specific"]]
    well = rows.ecg_id.str[0].map(normal).astype(float)
    return sm.Logit(well, sm.add_constant(kinds)).fit(disp=False).conf_int(0.01).loc[kinds.columns]


def refuted(rows, truth):
    """Questions whose share of yes does not fit P(yes | do(question)), at 5 % over all of them."""
    yes = rows.answer.str[0].eq("yes").groupby(rows.question_id).agg(["sum", "size"])
    rates = truth.set_index("question_id").yes_rate
    p = [binomtest(int(k), int(n), rates[q]).pvalue for q, k, n in yes.itertuples()]
    return yes.index[np.array(p) < 0.05 / len(yes)]


def test_every_row_is_true_and_of_the_schema(records, rows):
    known = {r.ecg_id: (r.labels, r.attributes) for r in records.itertuples()}
    questions = {q.id: q for t in load_templates().values() for q in t.questions()}
    for row in validate_rows(rows).itertuples():
        assert row.answer == answer(questions[row.question_id], [known[row.ecg_id[0]]])


def test_the_question_is_independent_of_severity_here_and_not_in_training(rows, train, normal):
    for by in ("template_key", "question"):
        told = severity_information(rows, normal, by)
        assert told.p_value > 0.01 and told.bits < 2 * told.bits_by_chance
    told = severity_information(train, normal)
    assert told.p_value < 1e-6 and told.bits > 3 * told.bits_by_chance
    effects, biased = kind_effects(rows, normal), kind_effects(train, normal)
    assert (effects[0] < 0).all() and (effects[1] > 0).all(), "intervals hold 0"
    assert biased.loc["broad", 0] > 0.3


def test_each_question_is_answered_yes_as_often_as_its_finding_is_there(records, rows, train):
    truth = prevalence(records)
    assert refuted(rows, truth).empty and rows.question_id.nunique() > 40
    as_asked = refuted(train, prevalence(records, split="train"))
    assert len(as_asked) > 0.4 * train.question_id.nunique(), "the test can fail"


def test_asked_of_everybody_the_shares_are_the_prevalences(records):
    rows, truth = interventional_test(records, 10**6), prevalence(records)
    yes = rows.answer.str[0].eq("yes").groupby(rows.question_id).mean()
    pd.testing.assert_series_equal(
        yes, truth.set_index("question_id").yes_rate, check_names=False, rtol=1e-12
    )
    assert (rows.groupby("question_id").size() == truth.set_index("question_id").n).all()
    assert rows.groupby("question_id").ecg_id.agg(lambda e: e.str[0].is_unique).all()


def test_backdoor_adjustment_finds_the_truth_where_severity_is_the_only_confounder(
    records, train, normal
):
    verify = yes_or_no(train)
    verify = verify.assign(well=verify.ecg_id.str[0].map(normal))
    base = records.normal[records.split == "train"].mean()
    truth = prevalence(records, split="train").set_index("question_id")
    truth = (truth.yes_rate / (1 - truth.unsure_rate)).rename("do")
    strata = verify.groupby(["question_id", "well"]).yes.mean().unstack()
    table = pd.DataFrame(
        {
            "kind": kind_of(verify).groupby(verify.question_id).first(),
            "asked": verify.groupby("question_id").yes.mean(),
            "adjusted": strata[True] * base + strata[False] * (1 - base),
        }
    ).join(truth)
    broad, specific = (table[table.kind == kind] for kind in ("broad", "specific"))
    assert (broad.adjusted - broad.do).abs().max() < 0.06
    assert (broad.asked - broad.do).abs().mean() > 0.15
    # What severity put in is out: questions asked in passing and on suspicion say yes alike.
    assert ((specific.asked - specific.adjusted).abs() > 0.05).mean() > 0.8
    assert specific.adjusted.std() < specific.asked.std() / 3
    # Rare findings count more in the world's own cohort: adjustment cannot know that.
    assert ((specific.adjusted - specific.do) > 0.1).mean() > 0.9


def test_what_severity_buys_on_questions_as_asked_it_does_not_on_ecgs_drawn_by_lot(
    records, rows, normal
):
    tables = build_questions(records, None, find_world("nature", 0.0), 1, TEMPLATES)
    train, as_asked = tables["train"], tables["test"]
    better = {}
    for name, test in (("as asked", as_asked), ("do", rows)):
        specific = test[kind_of(test) == "specific"]
        value = question_only(train, specific, normal).set_index("method").value
        always_no = specific.answer.str[0].eq("no").mean()
        better[name] = value["majority, severity known"] - max(value["majority"], always_no)
    assert better["as asked"] > 0.15 and better["do"] < -0.15


def test_wordings_are_those_of_the_test_and_go_with_no_severity(records, rows, train, normal):
    assert not set(rows.question) & set(train.question)
    counts = rows.groupby(["question_id", "question"]).size().groupby("question_id")
    assert (counts.size() == 3).all() and (counts.max() - counts.min()).max() <= 1
    assert set(template_key(rows)) <= set(template_key(train))
    in_train = interventional_test(records, 14, templates=[12], wording="train")
    assert set(in_train.question) == set(load_templates()[12].wordings.train)


def test_ecgs_are_those_of_the_split_and_every_record_that_can_say(records):
    split = records.set_index("ecg_id").split
    for name in ("valid", "train"):
        rows = interventional_test(records, 20, templates=[1, 12], split=name)
        assert set(split.loc[rows.ecg_id.str[0]]) == {name}
    bare = records.assign(attributes=[{} for _ in range(len(records))])
    assert set(interventional_test(bare, 5, templates=[1, 26, 39]).template_id) == {1}
    assert interventional_test(bare, 5, templates=[26]).empty and prevalence(bare, [26]).empty


def test_only_verify_questions_about_one_ecg_are_asked(records):
    rows = interventional_test(records, 2)
    assert set(rows.question_type) == {"single-verify"}
    assert {"broad", "specific", "noise"} <= set(kind_of(rows))


def test_same_seed_same_rows_and_another_question_changes_none(records, rows, train):
    again = interventional_test(records, 100, seed=1, asked=set(train.question_id))
    assert rows.equals(again)
    assert not interventional_test(records, 100, seed=2, asked=set(train.question_id)).equals(rows)
    few = interventional_test(records, 100, seed=1, templates=[12, 1])
    columns = ["question", "answer", "ecg_id"]
    first, second = (
        t.loc[t.question_id == 12000, columns].reset_index(drop=True) for t in (rows, few)
    )
    assert len(first) == 100 and first.equals(second)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"templates": [999]}, "template 999"),
        ({"split": "dev"}, "split 'dev'"),
        ({"wording": "valid"}, "wording 'valid'"),
    ],
)
def test_mistakes_are_named(records, arguments, said):
    with pytest.raises(DataError, match=said):
        interventional_test(records, **arguments)
    with pytest.raises(DataError, match="column 'labels'"):
        interventional_test(records.drop(columns="labels"))

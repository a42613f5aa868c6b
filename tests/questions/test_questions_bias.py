"""Tests of the causal model behind built questions, and of what a question alone gives away."""

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from simulated_labels import simulated_records
from toy_rows import toy_rows

from ecg_lib.questions.bias import normal_ratio_by_kind, question_only, severity_information
from ecg_lib.questions.build import Sizes, build_questions
from ecg_lib.questions.templates import load_templates
from ecg_lib.questions.worlds import find_world
from ecg_lib.questions.worlds.nature import NORMAL

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
TEMPLATES = [1, 2, 12, 13, 15, 27, 29]


@pytest.fixture(scope="module")
def records():
    return simulated_records()


@pytest.fixture(scope="module")
def normal(records):
    return records.set_index("ecg_id").normal


@pytest.fixture(scope="module")
def by_strength(records):
    return {
        s: build_questions(records, Sizes(), find_world("nature", s), seed=1, templates=TEMPLATES)[
            "train"
        ]
        for s in STRENGTHS
    }


@pytest.fixture(scope="module")
def ratios(by_strength, normal):
    return {s: normal_ratio_by_kind(r, normal).set_index("kind") for s, r in by_strength.items()}


def test_what_an_ecg_shows_depends_on_severity(records):
    fifths = records.groupby(pd.cut(records.severity, 5), observed=True)
    assert (np.diff(fifths.normal.mean()) < 0).all(), "the iller, the fewer normal ECGs"
    codes = records.labels.map(lambda labels: len(set(labels) - {"NORM", "SR"}))
    assert (np.diff(codes.groupby(pd.cut(records.severity, 5), observed=True).mean()) > 0).all()
    model = sm.Logit(records.normal.astype(float), sm.add_constant(records.severity))
    assert model.fit(disp=False).conf_int().loc["severity", 1] < -5


def test_at_strength_0_no_question_prefers_normal_ecgs(ratios):
    none = ratios[0.0]
    for kind in ("broad", "specific"):
        assert none.ci_low[kind] <= NORMAL <= none.ci_high[kind]


def test_noise_questions_do_not_know_the_strength(by_strength, ratios, records):
    noise = [t.id for t in load_templates().values() if t.kind == "noise"]
    asked = [
        rows.loc[rows.template_id.isin(noise), ["question", "answer", "ecg_id"]].reset_index(
            drop=True
        )
        for rows in by_strength.values()
    ]
    assert len(asked[0]) > 100 and all(rows.equals(asked[0]) for rows in asked)
    base = records.normal[records.split == "train"].mean()
    assert ratios[1.0].ci_low["noise"] <= base <= ratios[1.0].ci_high["noise"]


def test_a_question_tells_more_of_severity_the_stronger_the_confounder(by_strength, normal):
    told = [severity_information(rows, normal) for rows in by_strength.values()]
    bits = [d.bits for d in told]
    assert (np.diff(bits) > 0).all()
    assert bits[0] < 1.5 * told[0].bits_by_chance and told[0].p_value > 0.5
    assert bits[-1] > 3 * told[-1].bits_by_chance and told[-1].p_value < 1e-6


@pytest.mark.parametrize(
    ("counts", "bits"),
    [
        (((1, True, 10), (2, False, 10)), 1.0),  # the question determines the severity
        (((1, True, 9), (1, False, 3), (2, True, 9), (2, False, 3)), 0.0),
        # H(1/2) - H(1/4): both questions are equally far from one half
        (((1, True, 9), (1, False, 3), (2, True, 3), (2, False, 9)), 1 - 0.811278),
    ],
)
def test_bits_of_a_table_that_can_be_done_by_hand(counts, bits):
    rows, normal = toy_rows([(t, "yes", well, n) for t, well, n in counts])
    told = severity_information(rows, normal)
    assert told.bits == pytest.approx(bits, abs=1e-6)
    assert (told.n, told.questions) == (len(rows), 2)
    assert told.bits_by_chance == pytest.approx(1 / (2 * len(rows) * math.log(2)))


def test_without_a_known_ecg_nothing_can_be_told():
    rows, _ = toy_rows([(1, "yes", True, 3)])
    told = severity_information(rows, pd.Series(dtype=bool))
    assert told.n == 0 and math.isnan(told.bits)


def accuracy(train, test, normal=None):
    table = question_only(train, test, normal)
    return table.loc[table.question_type == "S-Verify"].set_index("method").value


def test_severity_reveals_answers_that_the_question_hides():
    # Two questions with half yes each. Normal ECGs answer no to the first, yes to the second.
    rows, normal = toy_rows(
        [(1, "no", True, 5), (1, "yes", False, 5)] + [(2, "yes", True, 5), (2, "no", False, 5)]
    )
    known = accuracy(rows, rows, normal)
    assert known[["majority", "words"]].tolist() == [0.5, 0.5]
    assert known[["majority, severity known", "words, severity known"]].tolist() == [1.0, 1.0]
    assert set(accuracy(rows, rows).index) == {"majority", "words"}


def test_an_unseen_or_unknown_stratum_is_answered_as_the_question_alone_is():
    train, normal = toy_rows([(1, "no", True, 5), (2, "yes", True, 3), (2, "no", True, 2)])
    test, other = toy_rows([(1, "no", False, 4), (2, "yes", False, 4)])
    test["ecg_id"] = test.ecg_id.map(lambda ids: ["y" + ids[0]])
    everyone = pd.concat([normal, other.rename("y{}".format)])
    for severity in (everyone, normal):  # a stratum unseen in training, then an unknown one
        assert accuracy(train, test, severity)["majority, severity known"] == 1.0


def test_both_ecgs_of_a_comparison_count():
    rows, _ = toy_rows([(44, "yes", True, 4), (44, "no", True, 4)])
    rows["question_type"] = "comparison_consecutive-verify"
    rows["ecg_id"] = [["well", "ill"]] * 4 + [["ill", "well"]] * 4
    normal = pd.Series({"well": True, "ill": False})
    known = question_only(rows, rows, normal).set_index("method").value
    assert known["majority"] == 0.5 and known["majority, severity known"] == 1.0


def test_on_simulated_questions_severity_pays_and_new_wordings_hide_nothing(records, normal):
    tables = build_questions(records, None, find_world("nature", 0.0), 1, TEMPLATES)
    for split in ("valid", "test"):
        known = accuracy(tables["train"], tables[split], normal)
        assert known["majority, severity known"] > known["majority"] + 0.05
        assert known["words, severity known"] > known["words"] + 0.05

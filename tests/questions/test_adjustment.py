"""Tests that equation 6 matches a hand calculation, and is right in `nature` but not in `ecgqa`."""

import math

import pytest
from simulated_labels import simulated_records
from toy_rows import toy_rows

from ecg_lib.questions.adjustment import adjusted
from ecg_lib.questions.build import build_questions
from ecg_lib.questions.worlds import find_world
from ecg_lib.questions.worlds.nature import NORMAL

ASKED, DONE = "P(yes | q)", "P(yes | do(q))"


def test_the_sum_over_the_strata_of_a_toy_is_that_of_equation_6():
    """Yes for 2 of 8 normal ECGs and for both ill ones. With half normal: .25 / 2 + 1 / 2."""
    parts = [(12, "yes", True, 2), (12, "no", True, 6), (12, "yes", False, 2)]
    rows, normal = toy_rows(parts)
    (line,) = adjusted(rows, normal, base=0.5).itertuples(index=False, name=None)
    assert line == ("broad", 0.8, 0.25, 1.0, pytest.approx(0.4), pytest.approx(0.625))


def test_with_the_share_of_those_asked_nothing_changes_and_an_empty_stratum_has_no_sum():
    rows, normal = toy_rows([(12, "yes", True, 1), (12, "no", True, 1), (12, "yes", False, 2)])
    line = adjusted(rows, normal, base=0.5).iloc[0]
    assert line[ASKED] == line[DONE] == 0.75
    rows, normal = toy_rows([(12, "yes", False, 2), (12, "no", False, 2)])
    assert math.isnan(adjusted(rows, normal, base=0.5)[DONE].iloc[0])


@pytest.fixture(scope="module")
def records():
    return simulated_records()


@pytest.mark.parametrize("name", ["nature", "ecgqa"])
def test_it_finds_the_truth_where_severity_chose_and_not_where_the_answer_did(records, name):
    normal = records.set_index("ecg_id").normal
    train = records[records.split == "train"]
    lot = find_world("nature", 0.0) if name == "nature" else find_world("do")
    base = NORMAL if name == "nature" else train.normal.mean()

    def told(world):
        sizes = dict.fromkeys(("train", "valid", "test"), world.sizes(60))
        rows = build_questions(records, sizes, world, 0, [1, 12])["train"]
        return adjusted(rows, normal, base)

    asked, truth = told(find_world(name)), told(lot)[ASKED]
    off = asked[[ASKED, DONE]].sub(truth, axis=0).dropna().abs().mean()
    if name == "nature":
        assert off[DONE] < 0.05 < 0.2 < off[ASKED]
    else:
        assert off[DONE] > 0.15, "no stratum of severity blocks a choice by answer"

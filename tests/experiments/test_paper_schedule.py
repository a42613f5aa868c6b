"""Tests of the paper's ablation with the paper's ratios of epochs and learning rates."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ecg_lib.arm_table import CONTROL, DEBIASED, PLAIN
from ecg_lib.baselines.anchors import ANCHORS, PERFECT
from ecg_lib.config import compose
from ecg_lib.config_studies import PaperSchedule
from ecg_lib.evaluation.random_ecg import ORIGINAL, RANDOM
from ecg_lib.experiments import arms, paper_schedule
from ecg_lib.questions.templates import load_templates


@pytest.fixture(scope="module")
def run(small):
    study = PaperSchedule(rates=[1e-3, 4e-3], seeds=[7], per_answer=2, per_answer_test=2)
    return replace(small.run, config=replace(small.config, paper_schedule=study))


@pytest.fixture(scope="module")
def outcomes(run):
    return paper_schedule.run_schedule(run)


# -- the schedule ----------------------------------------------------------------------------


def test_at_the_papers_rate_both_stages_are_the_papers_table_2():
    varied = paper_schedule.scheduled(compose("demo-full"), 1e-4)
    assert (varied.stage1.epochs, varied.stage2.epochs) == (6, 2)
    assert varied.stage1.learning_rate == pytest.approx(1e-4)
    assert varied.stage2.learning_rate == pytest.approx(2e-5)


@pytest.mark.parametrize("rate", [2e-5, 5e-4, 0.3])
def test_at_any_rate_the_ratios_are_the_papers_and_no_arm_has_its_own(rate):
    varied = paper_schedule.scheduled(compose("demo-full"), rate)
    one, two = varied.stage1, varied.stage2
    assert one.learning_rate == pytest.approx(rate) == pytest.approx(5 * two.learning_rate)
    assert one.epochs == 3 * two.epochs
    for stage in (one, two):
        rates = {arms.of_arm(stage, arm.key).learning_rate for arm in paper_schedule.COMPARED}
        assert rates == {stage.learning_rate}
        assert stage.projector_rate is None and stage.max_rows is None


def test_the_world_is_ecgqa_s_with_its_caps_and_questions_about_one_ecg_unaligned():
    config = compose("demo-full", ["paper_schedule.per_answer=7"])
    varied = paper_schedule.scheduled(config, 1e-4)
    asked = varied.questions
    assert asked.world == "ecgqa" and asked.per_answer == 7
    assert asked.per_answer_test == config.paper_schedule.per_answer_test
    known = load_templates()
    assert {known[number].question_type for number in asked.templates} == {"single-verify"}
    assert set(asked.templates) < set(compose("demo-full").questions.templates)
    assert varied.alignment.epochs == 0


def test_demo_full_has_every_arm_at_every_rate_with_three_seeds():
    config = compose("demo-full")
    found = paper_schedule.trainings(config)
    assert len(set(found)) == len(found) == 3 * 3 * len(config.paper_schedule.rates)
    assert len({one.seed for one in found}) == 3
    assert len(config.paper_schedule.rates) >= 4
    assert paper_schedule.trainings(compose("demo")) == []


def test_none_gets_the_second_stage_alone_and_so_a_small_part_of_the_training(run):
    rows = paper_schedule.question_tables(run)["train"]
    done = paper_schedule.effort(run, rows)
    none, pairs, control = (done.loc[a.title] for a in (PLAIN, DEBIASED, CONTROL))
    assert none["rows of stage 1"] == 0 and none["questions"] == 2 * len(rows)
    assert pairs["questions"] == 6 * pairs["rows of stage 1"] + 2 * len(rows)
    by_hand = 2 / 5 * len(rows) / (6 * pairs["rows of stage 1"] + 2 / 5 * len(rows))
    assert none["training"] == pytest.approx(100 * by_hand) and by_hand < 0.15
    assert pairs["training"] == 100 == control["training"]
    assert pairs["rows of stage 1"] == control["rows of stage 1"]


# -- a small run of the study ---------------------------------------------------------------


def test_every_training_and_anchor_answers_the_same_rows_of_unseen_wordings(run, outcomes):
    assert set(outcomes.right) == set(paper_schedule.trainings(run.config))
    index = outcomes.asked.index
    everyone = [*outcomes.anchors.values()]
    everyone += [way for read in outcomes.right.values() for way in read.values()]
    for right in everyone:
        assert set(right) == {ORIGINAL, RANDOM}
        assert all(part.index.equals(index) and part.dtype == bool for part in right.values())
    train = paper_schedule.question_tables(run)["train"]
    assert set(outcomes.asked["question"]).isdisjoint(train["question"])
    assert set(outcomes.asked["question_type"]) == {"single-verify"}
    assert set(outcomes.anchors) == set(ANCHORS)
    assert outcomes.anchors[PERFECT][ORIGINAL].all()
    assert not outcomes.anchors[PERFECT][RANDOM].all()


def test_each_arm_was_trained_with_the_papers_schedule_from_the_same_start(run, outcomes):
    home = run.checkpoints("paper_schedule", "rate-0.004", "seed-7")
    assert {path.name for path in (home / "stage1").iterdir()} == {DEBIASED.key, CONTROL.key}
    assert {path.name for path in (home / "stage2").iterdir()} == {
        arm.key for arm in paper_schedule.COMPARED
    }
    for stage, epochs in (("stage1", 6), ("stage2", 2)):
        curve = pd.read_csv(home / stage / CONTROL.key / "curve.csv")
        assert np.ceil(curve["epoch"].max()) == epochs
        assert curve["learning_rate"].max() <= {"stage1": 4e-3, "stage2": 8e-4}[stage] + 1e-12
    assert not (home / "alignment").exists()


def test_a_study_that_was_done_trains_and_asks_nothing_again(run, outcomes, monkeypatch):
    monkeypatch.setattr("ecg_lib.ecg_llm.finetune.fit", lambda *_: pytest.fail("trained"))
    monkeypatch.setattr(paper_schedule, "answer_arm", lambda *_: pytest.fail("asked"))
    again = paper_schedule.run_schedule(run)
    for training, ways in outcomes.right.items():
        for way, right in ways.items():
            for ecg, part in right.items():
                assert again.right[training][way][ecg].equals(part)

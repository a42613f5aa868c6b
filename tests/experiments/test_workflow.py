"""Tests of steps behind the notebooks: joining question sets, sampling rows, stamping results."""

from dataclasses import replace

import pytest
from questions_cohort import synthetic_records

from ecg_lib.arm_table import ARMS
from ecg_lib.config import compose
from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.write_store import write_store
from ecg_lib.errors import ConfigError
from ecg_lib.experiments import arms, question_sets
from ecg_lib.experiments.experiment import Experiment
from ecg_lib.questions.build import build_questions
from ecg_lib.questions.schema import SHORT_NAMES, sample_rows, template_key


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    cohort = SimulatedCohort(patients=150, seed=3)
    return write_store(tmp_path_factory.mktemp("store") / "s", cohort)


@pytest.fixture(scope="module")
def rows():
    return build_questions(synthetic_records(400, 0), seed=1)["train"]


def test_two_question_sets_joined_share_no_id_and_lose_no_row(rows):
    joined = question_sets._join(rows, rows)
    assert len(joined) == 2 * len(rows) and joined["sample_id"].is_unique
    keys = template_key(joined)
    assert not set(keys.iloc[: len(rows)]) & set(keys.iloc[len(rows) :])
    assert joined["question"].iloc[len(rows) :].tolist() == rows["question"].tolist()


def test_a_sample_of_rows_keeps_every_question_type_in_proportion(rows):
    sample = sample_rows(rows, len(rows) // 5, seed=0)
    before, after = (r["question_type"].value_counts(normalize=True) for r in (rows, sample))
    assert set(after.index) == set(SHORT_NAMES)
    assert (after - before).abs().max() < 0.01
    assert sample_rows(rows, None, 0) is rows


def test_the_stamp_of_a_result_does_not_know_where_the_data_lie(store):
    def stamp(*overrides):
        return Experiment.of(compose("smoke", list(overrides))).provenance([store])

    assert stamp("data.root=/a") == stamp("data.root=/b") != stamp("stage2.epochs=7")


def test_the_paper_s_rates_hold_for_every_arm_unless_a_profile_says_otherwise():
    paper, demo = compose("paper", ["data.root=/a"]), compose("demo")
    assert (paper.stage1.learning_rate, paper.stage2.learning_rate) == (1e-4, 2e-5)
    assert {arms.of_arm(paper.stage2, arm).learning_rate for arm in ARMS} == {2e-5}
    varied = replace(demo.stage2, learning_rates={"none": 0.5})
    assert arms.of_arm(varied, "none").learning_rate == 0.5
    assert arms.of_arm(varied, "control").learning_rate == demo.stage2.learning_rate


def test_another_arm_s_rate_is_no_reason_to_train_this_one_again():
    before = compose("demo")
    after = compose("demo", ["+stage2.learning_rates.control=0.1"])
    of = arms.of_arm
    assert of(before.stage2, "de-biased") == of(after.stage2, "de-biased")
    assert of(before.stage2, "control") != of(after.stage2, "control")


@pytest.mark.parametrize(
    "override",
    [
        "+stage2.learning_rates.sceptic=0.1",
        "+stage1.learning_rates.control=0",
        "study.rates=[-1]",
        "study.short_rates=[0]",
    ],
)
def test_a_rate_of_no_arm_or_no_rate_is_refused(override):
    with pytest.raises(ConfigError, match=r"rates"):
        compose("demo", [override])

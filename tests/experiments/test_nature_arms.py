"""Tests of arms in the world `nature`: other questions, but the same patients, encoder and LLM."""

from dataclasses import replace

import pytest

from ecg_lib.config import compose
from ecg_lib.config_studies import Nature
from ecg_lib.errors import ConfigError
from ecg_lib.experiments import arms, nature_arms
from ecg_lib.experiments.aligning import aligned_folder
from ecg_lib.experiments.question_sets import built_questions

ARMS = ("none", "de-biased", "within-severity")
FEW = ["questions.templates=[1,12]", "stage1.max_rows=16", "stage2.max_rows=16"]


@pytest.fixture(scope="module")
def nature(small):
    chosen = Nature([*ARMS], FEW)
    return nature_arms.in_nature(replace(small.run, config=replace(small.config, nature=chosen)))


def test_nature_asks_other_questions_of_the_same_patients_and_builds_on_the_same_parts(
    small, nature
):
    assert nature.config.questions.world == "nature" != small.config.questions.world
    assert nature.config.stage1.max_rows == 16 and nature.store.hash == small.store.hash
    assert nature.home == small.run.checkpoints("nature")
    assert nature.llm == small.run.llm and nature.tokens.folder == small.run.tokens.folder
    assert aligned_folder(nature) == aligned_folder(small.run)


def test_the_arms_are_trained_apart_from_those_of_the_profile_and_once(small, nature):
    before = arms.stage_folder(small.run, "stage2", "de-biased") / "fingerprint.json"
    untouched = before.stat().st_mtime_ns
    train = built_questions(nature.config, nature.store)["train"]
    nature_arms.train_arms(nature, train)
    made = {
        (stage, arm): nature.checkpoints(stage, arm, "fingerprint.json")
        for stage, each in (("stage1", ARMS[1:]), ("stage2", ARMS))
        for arm in each
    }
    times = {key: file.stat().st_mtime_ns for key, file in made.items()}
    assert before.stat().st_mtime_ns == untouched
    assert not nature.checkpoints("stage1", "none").exists()
    nature_arms.train_arms(nature, train)
    assert times == {key: file.stat().st_mtime_ns for key, file in made.items()}
    asked = train.head(6)
    assert set(arms.answer_arm(nature, "within-severity", asked)["p_yes"].between(0, 1)) == {True}


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["nature.arms=[alignment-only]"], "nature.arms"),
        (["nature.arms=[]"], "nature.arms is empty"),
        (["questions.built=false", "questions.ecgqa=true"], "questions.built"),
    ],
)
def test_an_empty_study_gives_a_one_line_error(overrides, named):
    with pytest.raises(ConfigError, match=named) as caught:
        compose("demo", overrides)
    assert "\n" not in str(caught.value)

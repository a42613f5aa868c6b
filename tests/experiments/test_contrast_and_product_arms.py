"""Tests of the arms "paired contrast" and "product of experts": their rows and their losses."""

from dataclasses import replace

import pandas as pd
import pytest

from ecg_lib.arm_table import CONTRAST, PRODUCT
from ecg_lib.ecg_llm import finetune, paired_contrast, product_of_experts
from ecg_lib.experiments import ablations, arms
from ecg_lib.experiments.question_sets import built_questions
from ecg_lib.questions.schema import COLUMNS, template_key
from ecg_lib.training.cache import version_of


@pytest.fixture(scope="module")
def train(small):
    return built_questions(ablations.base_of(small.config), small.store)["train"]


@pytest.fixture(scope="module")
def shown(small, train):
    return arms.stage1_rows(train, small.run.normal, seed=3)


def test_contrast_sees_the_pairs_of_the_de_biased_arm_and_who_belongs_to_whom(shown):
    rows = shown[CONTRAST.key]
    pd.testing.assert_frame_equal(rows[list(COLUMNS)], shown["de-biased"][list(COLUMNS)])
    key = template_key(rows)
    for _, pair in rows.groupby(paired_contrast.PAIR):
        assert sorted(answer[0] for answer in pair["answer"]) == ["no", "yes"]
        assert key[pair.index].nunique() == 1  # both ask the same question


def test_product_sees_the_control_s_rows_and_what_their_words_tell(shown):
    rows = shown[PRODUCT.key]
    pd.testing.assert_frame_equal(rows[list(COLUMNS)], shown["control"][list(COLUMNS)])
    odds = rows[product_of_experts.WORDS]
    yes = rows["answer"].map(lambda answer: answer == ["yes"])
    assert odds.notna().all() and odds[yes].mean() > odds[~yes].mean()


@pytest.mark.parametrize("arm", [CONTRAST, PRODUCT], ids=lambda arm: arm.key)
def test_each_goes_through_both_stages_and_answers_like_any_arm(
    small, train, shown, arm, monkeypatch
):
    run, rows = small.run, train.head(32)
    few = shown[arm.key].head(40)
    if arm is CONTRAST:
        few = few[few.groupby(paired_contrast.PAIR)["pair"].transform("size") == 2]
    first = arms.run_stage(run, "stage1", arm.key, few, say=None)
    # Without the arm's extra column, the same rows give another loss.
    plain = few[list(COLUMNS)]
    twin = arms.run_stage(run.below("twin"), "stage1", arm.key, plain, say=None)
    assert version_of(twin) != version_of(first)
    curve, other = (pd.read_csv(folder / "curve.csv")["loss"] for folder in (first, twin))
    assert curve.notna().all() and not curve.equals(other)

    arms.run_stage(run, "stage2", arm.key, rows, say=None)
    said = arms.answer_arm(run, arm.key, rows)  # the model alone, without any training partner
    assert said["p_yes"].between(0, 1).all()
    for module in (finetune, paired_contrast):
        monkeypatch.setattr(module, "fit", None)  # calling it would fail
    for stage, given in (("stage1", few), ("stage2", rows)):
        arms.run_stage(run, stage, arm.key, given, say=None)


@pytest.mark.parametrize("arm", [CONTRAST, PRODUCT], ids=lambda arm: arm.key)
def test_its_own_loss_is_part_of_its_fingerprint(small, shown, arm):
    few = shown[arm.key].head(8)
    own = arms._key(small.run, "stage1", arm.key, few, None)
    plain = arms._key(small.run, "stage1", arm.key, few[list(COLUMNS)], None)
    assert own["code"] != plain["code"]
    other = replace(small.config, stage1=replace(small.config.stage1, max_rows=4))
    varied = arms._key(replace(small.run, config=other), "stage1", arm.key, few, None)
    assert varied["params"] != own["params"] and varied["code"] == own["code"]

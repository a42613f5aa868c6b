"""Tests of the arms over several seeds: what a seed shares, and that all answer the same rows."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ecg_lib.arm_table import ARMS
from ecg_lib.config import compose
from ecg_lib.config_studies import ArmSeeds
from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.write_store import write_store
from ecg_lib.errors import DataError
from ecg_lib.experiments import arm_seeds, arms
from ecg_lib.experiments.llm_experiment import LlmExperiment
from ecg_lib.experiments.question_sets import built_questions
from ecg_lib.experiments.zero_shot_seeds import MEAN_OF_LABELS, zero_shot_over_seeds
from ecg_lib.objectives import objective
from ecg_lib.questions.schema import write_split
from ecg_lib.report.arm_seeds_table import ASKED, INTERVENTIONAL, MATCHED, RANDOM

CHOSEN = ["none", "de-biased", "alignment-only"]


@pytest.fixture(scope="module")
def study(small):
    """A run with its questions on disk, its training rows and its test sets."""
    seeds = ArmSeeds(arms=CHOSEN, seeds=[5], whole_seeds=[7])
    settings = replace(small.config.evaluation, interventional=2, interventional_rows=40)
    stages = {
        stage: replace(getattr(small.config, stage), max_rows=32) for stage in ("stage1", "stage2")
    }
    config = replace(small.config, arm_seeds=seeds, evaluation=settings, **stages)
    run = replace(small.run, config=config)
    for split, rows in built_questions(config, small.store).items():
        write_split(rows, run.data("questions"), split)
    train = run.question_rows("train")
    return run, train, arm_seeds.asked_rows(run, train)


@pytest.fixture(scope="module")
def outcomes(study):
    return arm_seeds.run_seeds(*study)


def test_every_arm_has_every_seed_and_all_are_asked_the_same_rows(study, outcomes):
    run, _, tests = study
    assert list(outcomes.right) == arm_seeds.trainings(run.config)
    assert {(one.seed, one.whole) for one in outcomes.right} == {(42, False), (5, False), (7, True)}
    assert {one.arm for one in outcomes.right} == set(CHOSEN)
    assert set(tests) == {ASKED, RANDOM, MATCHED, INTERVENTIONAL}
    for right in outcomes.right.values():
        for test, rows in tests.items():
            assert right[test].index.equals(rows.index) and right[test].dtype == bool
    own = tests[ASKED]["ecg_id"].map(set)
    for test in (RANDOM, MATCHED):
        assert tests[test]["question"].equals(tests[ASKED]["question"])
        assert not any(a & b for a, b in zip(own, tests[test]["ecg_id"].map(set), strict=True))
    said = tests[INTERVENTIONAL]["answer"].str[0].eq("yes")
    assert (said.groupby(tests[INTERVENTIONAL]["question_id"]).mean() == 0.5).all()


def test_a_fine_tuning_seed_shares_encoder_and_a_whole_one_has_its_own(study, outcomes):
    run, _, _ = study
    below = run.checkpoints("arm_seeds")
    assert {path.name for path in below.iterdir()} == {"seed-5", "seed-7", "answers"}
    assert not (below / "seed-5" / "encoder").exists()
    assert (below / "seed-7" / "encoder" / "clip").is_dir()
    told = [*(run.home / "features").rglob("encoded.json"), *below.rglob("encoded.json")]
    encoders = [json.loads(path.read_text())["encoder"] for path in told]
    assert len(encoders) == len(set(encoders)) == 2
    for place in (run.home, below / "seed-5", below / "seed-7"):
        for stage in ("stage1", "stage2"):
            staged = {arm for arm in CHOSEN if stage in ARMS[arm].stages}
            assert {path.name for path in (place / stage).iterdir()} >= staged
    seeds = {one.seed: right for one, right in outcomes.right.items() if one.arm == "de-biased"}
    assert len(seeds) == 3


def test_the_profiles_own_seed_is_the_arms_of_the_notebooks_and_is_not_trained_again(
    study, monkeypatch, outcomes
):
    for module in (arms.finetune, objective):
        monkeypatch.setattr(module, "fit", lambda *_: pytest.fail("trained"))
    monkeypatch.setattr(arm_seeds, "answer_arm", lambda *_: pytest.fail("asked"))
    again = arm_seeds.run_seeds(*study)
    for training, right in outcomes.right.items():
        assert all(again.right[training][test].equals(own) for test, own in right.items())
    run, train, _ = study
    shown = arms.stage1_rows(train, run.normal, run.config.seed)["de-biased"]
    arms.run_stage(run, "stage1", "de-biased", shown)  # as notebook 04 does; must not train


def test_a_whole_seed_whose_llm_cannot_read_stops_the_study_before_an_arm_is_trained(
    small, study, monkeypatch
):
    run, train, tests = study
    practised = replace(run.config.llm, name_or_path=None, reading_gate=0.5)
    below = replace(run, config=replace(run.config, llm=practised))
    monkeypatch.setattr(LlmExperiment, "llm", property(lambda _: small.root / "llm"))
    monkeypatch.setattr(arm_seeds, "llm_of_profile", lambda _: None)  # leave the LLM untrained
    monkeypatch.setattr(arm_seeds, "_train", lambda *_: pytest.fail("trained below the gate"))
    with pytest.raises(DataError, match=r"wordings read correctly, but llm\.reading_gate asks"):
        arm_seeds.run_seeds(below, train, tests)


def test_demo_full_has_the_five_arms_of_demo_with_three_seeds_and_a_whole_one_if_asked():
    found = arm_seeds.trainings(compose("demo-full"))
    assert len(set(found)) == len(found) == 5 * 3
    assert {one.arm for one in found} == set(compose("demo").arms)
    assert arm_seeds.trainings(compose("demo")) == []
    more = arm_seeds.trainings(compose("demo-full", ["arm_seeds.whole_seeds=[3]"]))
    assert set(found) < set(more) and {one.seed for one in set(more) - set(found)} == {3}


def test_each_seed_scores_every_label_and_a_jump_is_the_range(study, outcomes):
    run, _, _ = study
    cohort = run.config.data.zero_shot[0]
    if not run.store_folder(cohort).exists():
        patients = SimulatedCohort(patients=cohort.patients, seed=cohort.seed)
        write_store(run.store_folder(cohort), patients)
    rare = replace(run.config.evaluation, min_positives=2, resamples=50)
    run = replace(run, config=replace(run.config, evaluation=rare))
    table = zero_shot_over_seeds(run).set_index(["row", "column"])["value"].unstack("row")
    names = [f"{cohort.title}, seed 42", f"{cohort.title}, seed 5"]
    names.append(f"{cohort.title}, seed 7 (encoder and LLM too)")
    each = table.loc[table.index != MEAN_OF_LABELS, names].dropna()
    assert len(each) >= 3 and (each.nunique(axis=1) > 1).any()
    means, ranges = (table.loc[each.index, f"{cohort.title}, {of}"] for of in ("mean", "range"))
    assert np.allclose(means, each.mean(axis=1))
    assert np.allclose(ranges, each.max(axis=1) - each.min(axis=1))
    assert np.allclose(table.loc[MEAN_OF_LABELS, names], each.mean())

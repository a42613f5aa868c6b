"""Tests of the ablation study: what varies, what is shared, and the rows that all runs answer."""

import functools
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from simulated_labels import simulated_records

from ecg_lib.config import Lora, compose
from ecg_lib.config_studies import Study, Surgery
from ecg_lib.ecg_llm import finetune
from ecg_lib.encoders import input_of
from ecg_lib.encoders.token_cache import weights_hash
from ecg_lib.errors import ConfigError
from ecg_lib.experiments import ablations, arms, variants
from ecg_lib.experiments.llm_experiment import LlmExperiment
from ecg_lib.experiments.question_sets import built_questions
from ecg_lib.objectives import objective
from ecg_lib.questions.bias import kind_of, severity_information

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def full():
    """The configuration of demo-full and the training runs of its study."""
    config = compose("demo-full")
    return SimpleNamespace(
        config=config, base=ablations.base_of(config), runs=ablations.trainings(config)
    )


@pytest.fixture(scope="module")
def outcomes(small):
    return ablations.run_study(small.run)


def named(outcomes, **wanted):
    return [run for run in outcomes.right if all(getattr(run, k) == v for k, v in wanted.items())]


# -- what is varied --------------------------------------------------------------------------


def differing(one, other, prefix=""):
    """Dotted names of the fields in which two nested dictionaries differ."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return set() if one == other else {prefix}
    return {
        name
        for key in one | other
        for name in differing(one.get(key), other.get(key), f"{prefix}.{key}".strip("."))
    }


def test_a_lesion_changes_exactly_the_fields_it_names(full):
    config, found = full.config, full.runs
    base = {
        run.seed: run
        for run in found
        if not run.lesion
        and (run.arm, run.strength) == (ablations.LESION_ARM, config.questions.strength)
    }
    lesions = [run for run in found if run.lesion]
    assert {run.lesion for run in lesions} == set(config.study.lesions)
    for run in lesions:
        fields = {override.split("=")[0] for override in config.study.lesions[run.lesion]}
        changed = differing(base[run.seed].config.as_dict(), run.config.as_dict())
        assert changed == fields and run.arm == ablations.LESION_ARM


def test_a_dose_changes_nothing_but_confounding_and_seeds_nothing_but_the_seed(full):
    for run in full.runs:
        if not run.lesion:
            changed = differing(full.base.as_dict(), run.config.as_dict())
            assert changed <= {"seed", "questions.strength"}
            assert run.strength == run.config.questions.strength
    doses = {(run.strength, run.arm, run.seed) for run in full.runs if not run.lesion}
    assert len(doses) == 4 * 3 * 3


@pytest.mark.parametrize("override", ["llm.width=32", "data.workers=2", "stage1.epochs=9"])
def test_what_a_lesion_cannot_reach_is_refused(full, override):
    study = Study(arms=["none"], lesions={"x": [override]})
    config = replace(full.config, study=study, stages={})
    with pytest.raises(ConfigError, match=r"study\.lesions\.x: \w+ cannot be varied") as caught:
        ablations.trainings(config)
    assert "\n" not in str(caught.value)


def test_severity_decides_who_is_asked_what_the_more_the_stronger(full):
    run = SimpleNamespace(config=full.config, store=SimpleNamespace(records=simulated_records()))
    normal = run.store.records.set_index("ecg_id")["normal"]
    told = []
    for strength in (0, 1 / 3, 1):
        training = ablations._dose(full.base, strength, seed=1, arm="none")
        rows = ablations.training_rows(run, training)
        told.append(severity_information(rows[kind_of(rows) == "specific"], normal).bits)
    assert told[0] < 0.03 and told[0] + 0.02 < told[1] < told[2] - 0.1 and told[2] > 0.3


def test_a_dose_needs_a_world_that_has_a_strength(full):
    settings = [s for s in full.config.study.settings if "world" not in s]
    config = replace(full.config, study=replace(full.config.study, settings=settings))
    with pytest.raises(ConfigError, match=r"study\.strengths: the world 'ecgqa' has no strength"):
        ablations.trainings(config)


# -- what is shared --------------------------------------------------------------------------


def test_every_training_is_asked_the_same_rows_and_half_of_them_say_yes(small, outcomes):
    assert {run.lesion for run in outcomes.right} == {"", *small.config.study.lesions}
    for right in outcomes.right.values():
        for test, asked in outcomes.tests.items():
            assert right[test].index.equals(asked.index)
    neutral = outcomes.tests[ablations.INTERVENTIONAL]
    yes = neutral["answer"].map(lambda answer: answer == ["yes"]).groupby(neutral["question_id"])
    assert (yes.mean() == 0.5).all()


def test_only_the_ecgs_differ_between_the_tests_with_donors(small, outcomes):
    asked = outcomes.tests[ablations.ASKED]
    normal = small.store.records.set_index("ecg_id")["normal"]
    for test in (ablations.RANDOM, ablations.MATCHED):
        donors = outcomes.tests[test]
        assert donors["question"].tolist() == asked["question"].tolist()
        assert not (donors["ecg_id"].str[0] == asked["ecg_id"].str[0]).any()
    alike = outcomes.tests[ablations.MATCHED]["ecg_id"].str[0].map(normal)
    assert alike.tolist() == asked["ecg_id"].str[0].map(normal).tolist()


def test_encoder_and_llm_are_trained_anew_only_where_they_are_what_varies(small, outcomes):
    below = small.root / "checkpoints" / "smoke" / "study"
    encoders = {path.parents[2].name for path in below.rglob("clip/fingerprint.json")}
    (mv,) = {ablations.home_of(small.run, run) for run in named(outcomes, lesion="mV")}
    assert encoders == {mv}
    assert not ablations.home_of(small.run, named(outcomes, lesion="deep")[0])
    trained = [input_of(folder) for folder in below.rglob("ecg_encoder")]
    assert {ecg_input.normalisation for ecg_input in trained} == {"mv"}
    assert len({json.loads(p.read_text())["encoder"] for p in below.rglob("encoded.json")}) == 1


def test_the_study_s_rates_are_tried_on_its_own_arms(small, outcomes, monkeypatch):
    config = replace(
        small.config, study=replace(small.config.study, short_rates=[5e-3], rate_seeds=[])
    )
    used = ablations.base_of(config).stage2.learning_rate
    trained = []
    fit = finetune.train_stage

    @functools.wraps(fit)  # fingerprints still see the library's own function
    def noting(*args):
        trained.append((args[4].learning_rate, args[6]))
        fit(*args)

    monkeypatch.setattr(finetune, "train_stage", noting)
    found = ablations.search_short_rates(replace(small.run, config=config))
    assert set(found) == {(arm, rate) for arm in config.study.arms for rate in (used, 5e-3)}
    # The study's own runs are reused; only the other rate is trained.
    assert trained == [(5e-3, config.seed)] * len(config.study.arms)
    answers = pd.concat([rows for runs in found.values() for rows in runs])
    for test in outcomes.tests.values():  # rates are chosen on other rows
        assert set(answers["question"]).isdisjoint(test["question"])
        assert set(answers["ecg_id"].str[0]).isdisjoint(test["ecg_id"].str[0])


def test_a_study_that_was_done_trains_and_asks_nothing_again(small, outcomes, monkeypatch):
    def forbidden(*_, **__):
        raise AssertionError("trained or asked again")

    for module, name in (
        (arms.finetune, "fit"),
        (variants, "fit"),
        (ablations, "_operated"),
        (objective, "fit"),
    ):
        monkeypatch.setattr(module, name, forbidden)
    again = ablations.run_study(small.run)
    for run, right in outcomes.right.items():
        for test, one in right.items():
            assert again.right[run][test].equals(one)


def test_the_name_of_a_profile_is_no_part_of_a_fingerprint(small, outcomes, monkeypatch):
    folder = small.root / "checkpoints"
    (folder / "copied").symlink_to(folder / "smoke")
    (small.root / "data" / "copied").symlink_to(small.root / "data" / "smoke")
    monkeypatch.setattr(arms.finetune, "fit", None)  # calling it would fail
    monkeypatch.setattr(objective, "fit", None)
    again = ablations.run_study(LlmExperiment.of(replace(small.config, profile="copied")))
    for run, right in again.right.items():
        twin = outcomes.right[run]
        assert all(part.equals(twin[test]) for test, part in right.items())


# -- surgery ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder(small):
    return small.run.clip.ecg_encoder


def operated(small, encoder, **changes):
    return variants.build(encoder, small.root / "llm", Lora(r=2), "float32", 0, Surgery(**changes))[
        0
    ]


def test_what_learns_is_what_the_lesion_says(small, encoder):
    def learns(model):
        return {
            name.split(".")[0]
            for name, p in model.named_parameters()
            if p.requires_grad and "lora_" not in name
        }

    def adapted(model):
        return any("lora_" in name for name, _ in model.named_parameters())

    plain = operated(small, encoder)
    assert learns(plain) == {"projector"} and adapted(plain)
    whole = operated(small, encoder, train_llm=True)
    assert learns(whole) == {"projector", "language_model"} and not adapted(whole)
    assert all(p.requires_grad for p in whole.language_model.parameters())
    deep = operated(small, encoder, projector_layers=3)
    assert learns(deep) == {"projector"}
    layers = [m for m in deep.projector.modules() if isinstance(m, torch.nn.Linear)]
    assert len(layers) == 3
    seeing = operated(small, encoder, train_encoder=True)
    assert learns(seeing) == {"projector", "encoder"}


def test_an_encoder_in_the_projector_s_place_says_the_same_before_it_learns(small, encoder):
    ids = small.store.records["ecg_id"].tolist()[:3]
    model = operated(small, encoder, train_encoder=True)
    ecgs = variants.Signals(small.store, encoder).get(ids)
    assert ecgs.shape == (3, 12, 1000)
    with torch.no_grad():
        plain = model.projector.projector(model.eval().encoder(ecgs).tokens)
        torch.testing.assert_close(model.projector(ecgs), plain)


def test_a_trained_encoder_is_a_copy_that_changes(small, encoder, tmp_path):
    rows = built_questions(ablations.base_of(small.config), small.store)["train"].head(16)
    settings = replace(small.config.stage2, epochs=1, batch_size=8)
    before = weights_hash(encoder.requires_grad_(False))
    model, processor = variants.build(
        encoder,
        small.root / "llm",
        Lora(r=2),
        "float32",
        0,
        Surgery(projector_layers=2, train_encoder=True),
    )
    variants.train(
        model, processor, rows, variants.Signals(small.store, encoder), settings, tmp_path, 0
    )
    assert weights_hash(encoder) == before != weights_hash(model.encoder)
    assert not any(p.requires_grad for p in encoder.parameters())
    assert np.isfinite(pd.read_csv(tmp_path / "curve.csv")["loss"]).all()

"""Tests of profiles: each composes, mistakes name their field, and DVC composes them alike."""

import dataclasses
import os

import pytest
from omegaconf import OmegaConf

from ecg_lib import config, paths
from ecg_lib.config import compose, compose_values, from_mapping, load_config, vary, write_params
from ecg_lib.errors import ConfigError

PROFILES = sorted(path.stem for path in (paths.CONF / "profile").glob("*.yaml"))
ANYWHERE = ["data.root=/anywhere"]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_composes_and_names_itself(profile):
    composed = compose(profile, ANYWHERE)
    assert composed.profile == profile
    assert composed.label and composed.data.root == "/anywhere"
    assert from_mapping(composed.as_dict()) == composed


def test_the_profiles_of_the_readme_exist():
    assert PROFILES == [
        *[
            "demo",
            "demo-full",
            "kmerl-demo",
            "kmerl-full",
            "kmerl-smoke",
            "paper",
            "ptbxl",
            "smoke",
            "smollm",
        ]
    ]


@pytest.mark.parametrize("profile", PROFILES)
def test_dvc_exp_run_composes_the_same_configuration(profile, tmp_path):
    from dvc.utils.hydra import compose_and_dump  # what `dvc exp run -S profile=...` calls

    by_dvc = tmp_path / "params.yaml"
    folder, name = str(paths.CONF), "config"
    compose_and_dump(by_dvc, folder, None, name, str(tmp_path), [f"profile={profile}", *ANYWHERE])
    by_make = tmp_path / "ours.yaml"
    write_params(compose_values(profile, ANYWHERE), by_make)
    assert OmegaConf.load(by_dvc) == OmegaConf.load(by_make)
    assert load_config(by_dvc) == compose(profile, ANYWHERE)


def test_the_profile_paper_holds_the_values_of_table_2():
    paper = compose("paper", ANYWHERE)
    assert (paper.stage1.epochs, paper.stage1.learning_rate) == (6, 1e-4)
    assert (paper.stage2.epochs, paper.stage2.learning_rate) == (2, 2e-5)
    assert (paper.lora.r, paper.lora.alpha) == (8, 16)
    assert paper.lora.target_modules == ["q_proj", "k_proj"]


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("encoder.patch=7", "encoder.patch"),  # does not divide 1000
        ("encoder.patch=125", "encoder.patch"),  # divides 1000 but not the stem's output
        ("encoder.width=wide", "encoder.width"),  # wrong type
        ("+encoder.layers=2", "encoder.layers"),  # unknown to the encoder
        ("encoder.name=stem_vit_2", "encoder.name"),  # no such file
        ("encoder.patch=8", "encoder.patch"),  # 125 tokens are not a multiple of 4
        ("encoder.heads=5", "encoder.heads"),
        ("text_encoder.pooling=max", "text_encoder.pooling"),
        ("text_encoder.centre=true", "text_encoder.pooling and centre"),  # of an untrained one
        ("text_encoder=medcpt_pooler", "clip_reports averages tokens"),
        ("signal.normalisation=zscore", "signal.normalisation"),
        ("signal.resampler=linear", "signal.resampler"),
        ("simulated.objective.optimizer=sgd", "simulated.objective.optimizer"),
        ("simulated.objective.average=1.5", "simulated.objective.average"),
        ("objective.epochs=many", "objective.epochs"),
        ("+objective.speed=3", "objective.speed"),
        ("objective.name=nothing", "objective.name"),
        ("+pretraining_study.further.speed=3", "pretraining_study.further.speed"),
        ("questions.strength=1.5", "questions.strength"),
        ("questions.world=heaven", "questions.world"),
        ("questions.built=false", "questions.built"),
        ("stage1.epochs=many", "stage1.epochs"),  # wrong type
        ("study.strengths=[0,2]", "study.strengths"),
        ("study.arms=[paired]", "study.arms"),
        ("study={arms: [none], seeds: [42]}", "study.seeds"),  # the profile's own seed
        ("study.surgery.projector_layers=0", "study.surgery.projector_layers"),
        ("stages.learning_rates=[demo]", "study.rates is empty"),
        ("stages.ablations=[demo]", "study.arms is empty"),
        ("stages.pretraining_study=[demo]", "pretraining_study.seeds is empty"),
        ("stages.paper_schedule=[demo]", "paper_schedule.rates is empty"),
        ("paper_schedule.rates=[0]", "paper_schedule.rates"),
        ("paper_schedule.seeds=[42]", "paper_schedule.seeds"),  # the profile's own seed
        ("arm_seeds.whole_seeds=[42]", "arm_seeds.seeds or whole_seeds repeats"),
        ("study.rate_seeds=[5,5]", "study.rate_seeds repeats"),
        ("arm_seeds.arms=[product]", "arm_seeds.arms has 'product'"),
        ("stages.arm_seeds=[demo]", "arm_seeds.arms is empty"),
        ("+stage1.speed=3", "speed"),  # unknown key, added
        ("stage1.speed=3", "speed"),  # unknown key, overridden
    ],
)
def test_a_mistake_is_reported_in_one_line_that_names_the_field(override, named):
    with pytest.raises(ConfigError) as caught:
        compose("demo", [override])
    assert named in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("profile", ["ptbxl", "paper"])
def test_real_cohorts_ask_for_the_folder_of_the_data(profile):
    with pytest.raises(ConfigError, match=rf"data\.root is empty.*PROFILE={profile} DATA="):
        compose(profile)


def test_a_wrong_type_names_the_whole_path_of_the_field():
    with pytest.raises(ConfigError, match="stage1.epochs"):
        from_mapping({"stage1": {"epochs": "many"}})


def test_demo_full_is_demo_and_a_study_of_its_very_arms():
    demo, full = (compose(name).as_dict() for name in ("demo", "demo-full"))
    assert {field for field in demo if demo[field] != full[field]} == {
        "profile",
        "stages",
        "study",
        "arm_seeds",
        "paper_schedule",
        "arms",
    }
    assert len({full["seed"], *full["study"]["seeds"]}) >= 3
    assert len({full["seed"], *full["arm_seeds"]["seeds"]}) >= 3
    assert full["arm_seeds"]["arms"] and set(full["arm_seeds"]["arms"]) == set(demo["arms"])


def test_only_profiles_with_less_practice_have_a_lower_gate():
    for name, gate in (("demo", 0.9), ("demo-full", 0.9), ("ptbxl", 0.9), ("paper", 0.95)):
        llm = compose(name, ["data.root=somewhere"]).llm
        assert llm.reading_gate == gate
        assert (llm.rows < 90_000) == (gate < 0.95)


def test_settings_of_pooling_leave_keys_and_stamps_of_other_text_encoders_alone():
    demo, minilm = compose("demo"), compose("demo", ["text_encoder=minilm"])
    for text in (demo.text_encoder, minilm.text_encoder):
        assert not {"pooling", "centre"} & set(text.as_dict())
    centred = dataclasses.replace(minilm.text_encoder, centre=True).as_dict()
    assert centred["centre"] and centred["pooling"] == "mean"
    assert not minilm.text_encoder.trainable and demo.text_encoder.trainable


@pytest.mark.parametrize("file", sorted((paths.CONF / "text_encoder").glob("*.yaml")))
def test_every_file_of_a_text_encoder_names_one(file):
    text = OmegaConf.to_container(compose_values("smoke", [f"text_encoder={file.stem}"]))
    assert text["text_encoder"]["name_or_path"]


def test_a_varied_configuration_differs_in_what_is_named_and_names_a_mistake():
    demo = compose("demo")
    varied = vary(demo, ["lora.r=1"], "study.lesions.rank")
    assert varied.lora.r == 1 and dataclasses.replace(varied, lora=demo.lora) == demo
    for override in ("lora.rank=1", "lora.r=one", "encoder.patch=7"):
        with pytest.raises(ConfigError, match=r"^study\.lesions\.rank: ") as caught:
            vary(demo, [override], "study.lesions.rank")
        assert "\n" not in str(caught.value)


def test_an_unknown_profile_ends_in_one_line_and_exit_code_two(capsys):
    with pytest.raises(SystemExit) as ended:
        config.main(["nonsense"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "nonsense" in said and said.count("\n") == 1


def test_a_missing_params_file_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="make params"):
        load_config(tmp_path / "params.yaml")


def test_a_configuration_cannot_be_changed():
    composed = compose("smoke")
    with pytest.raises(dataclasses.FrozenInstanceError):
        composed.seed = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        composed.text_encoder.width = 1


def test_writing_params_twice_changes_nothing_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "params.yaml"
    assert write_params(compose_values("smoke"), target) is True
    first = (target.read_bytes(), target.stat().st_mtime_ns)
    assert write_params(compose_values("smoke"), target) is False
    assert (target.read_bytes(), target.stat().st_mtime_ns) == first
    assert list(tmp_path.iterdir()) == [target]
    assert load_config(target) == compose("smoke")


def test_an_interrupted_write_leaves_the_old_params(tmp_path, monkeypatch):
    target = tmp_path / "params.yaml"
    write_params(compose_values("smoke"), target)
    monkeypatch.setattr(os, "replace", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_params(compose_values("demo"), target)
    assert load_config(target) == compose("smoke")


def _interrupt(*_):
    raise KeyboardInterrupt


def test_cohorts_of_one_title_share_a_folder_with_a_plain_name():
    data = compose("demo").data
    assert data.pretraining.folder == data.questions.folder == "simulated"
    assert [cohort.folder for cohort in data.zero_shot] == [
        "simulated-other-patients",
        "simulated-noisy",
    ]


def test_params_hold_every_field_of_the_configuration(tmp_path):
    target = tmp_path / "params.yaml"
    write_params(compose_values("demo"), target)
    held = OmegaConf.to_container(OmegaConf.load(target))
    assert set(held) == {field.name for field in dataclasses.fields(config.Config)}

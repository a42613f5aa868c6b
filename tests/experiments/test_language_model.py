"""Tests of a profile's language model: when it is retrained, its loss curve, its reading gate."""

from dataclasses import replace

import pytest

from ecg_lib.closure import closure
from ecg_lib.config import compose
from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.write_store import write_store
from ecg_lib.errors import DataError
from ecg_lib.experiments import language_model
from ecg_lib.experiments.experiment import Experiment


@pytest.fixture(scope="module")
def config():
    return compose("smoke")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    cohort = SimulatedCohort(patients=20, seed=3)
    return write_store(tmp_path_factory.mktemp("store") / "s", cohort)


def test_the_practice_curve_runs_on_through_all_courses(tmp_path):
    (tmp_path / "curve.csv").write_text(
        "step,loss,course\n5,3,look_ups\n10,2,look_ups\n"
        "4,1.5,look_ups_2\n5,2.5,reading\n7,1,reading\n"
    )
    curve = language_model.pretraining_curve(tmp_path)
    assert curve["step"].tolist() == [5, 10, 14, 19, 21]
    assert curve["loss of look-ups"].dropna().tolist() == [3, 2, 1.5]
    assert curve["loss of reading"].dropna().tolist() == [2.5, 1]
    assert language_model.pretraining_curve("some/llm").empty


def test_a_run_stops_at_a_tiny_llm_that_cannot_read(config):
    asked = replace(config, llm=replace(config.llm, reading_gate=0.95))
    assert "passed" in language_model.gate(95.0, asked)
    with pytest.raises(DataError, match=r"94\.9% .* llm.reading_gate asks for 95%.*llm.look_ups"):
        language_model.gate(94.9, asked)
    named = replace(asked, llm=replace(asked.llm, name_or_path="some/llm"))
    assert "no gate" in language_model.gate(10.0, named)


def test_a_stricter_gate_or_another_cohort_is_a_reason_to_train_the_tiny_llm_again(
    config, store, monkeypatch
):
    keys = []
    monkeypatch.setattr(
        language_model, "train_or_load", lambda folder, key, train: keys.append(key)
    )
    other = replace(config, llm=replace(config.llm, reading_gate=1.0))  # below it, practice goes on
    asked = replace(config, questions=replace(config.questions, per_answer=3))

    def run_of(varied):
        run = Experiment.of(varied)
        run.__dict__["store"] = store
        return run

    for varied in (config, other, asked):
        language_model.llm_of_profile(run_of(varied))
    language_model.look_ups_of_profile(run_of(config))
    changed = [{part for part in key if key[part] != keys[0][part]} for key in keys[1:]]
    assert changed == [{"params"}, {"params"}, {"code"}]


def test_the_texts_of_the_tiny_llm_are_part_of_its_code_and_settings_of_other_rooms_are_not():
    files = {path.name for path in closure("ecg_lib.tiny_llm.pretrain")}
    texts = {"general_text.yaml", "paraphrases.yaml", "toy_passages.yaml"}
    assert texts | {"advice.yaml", "glossary.yaml", "templates.yaml", "findings.csv"} <= files
    assert not {"config.py", "exact_match.py", "stem_vit.py"} & files
    first = {path.name for path in closure("ecg_lib.tiny_llm.look_up_course")}
    assert first < files and "pretrain.py" not in first

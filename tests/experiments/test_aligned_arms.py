"""Tests that arms start from the aligned projector, and that alignment-only adds no training."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from ecg_lib.arm_table import ARMS, arms_of, comparisons
from ecg_lib.config import compose
from ecg_lib.errors import ConfigError
from ecg_lib.experiments import ablations, aligning, arms
from ecg_lib.experiments.question_sets import built_questions
from ecg_lib.knowledge.zero_shot_labels import zero_shot_codes


@pytest.fixture(scope="module")
def rows(small):
    return built_questions(ablations.base_of(small.config), small.store)["train"].head(12)


def began(run, rows, monkeypatch, arm="none"):
    """Return the weights of the projector when an arm's training begins."""
    seen = {}

    def noting(model, processor, rows, tokens, stage, folder, *_):
        seen.update({n: p.clone() for n, p in model.projector.state_dict().items()})
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(arms.finetune, "train_stage", noting)
        with pytest.raises(InterruptedError):
            arms.run_stage(run, "stage2", arm, rows, say=None)
    return seen


def test_a_new_arm_begins_with_the_aligned_projector(small, rows, monkeypatch):
    saved = load_file(str(small.run.checkpoints("alignment") / "projector.safetensors"))
    first = began(small.run.below("apart"), rows, monkeypatch)
    assert first.keys() == saved.keys()
    assert all(torch.equal(first[name], saved[name]) for name in saved)
    assert not small.run.checkpoints("apart", "alignment").exists(), "it is shared, not made again"


def test_another_seed_and_a_profile_without_alignment_begin_elsewhere(small, rows, monkeypatch):
    saved = load_file(str(small.run.checkpoints("alignment") / "projector.safetensors"))
    other = small.run.below("seeded", config=replace(small.config, seed=8))
    off = replace(small.config, alignment=replace(small.config.alignment, epochs=0))
    for run in (other, small.run.below("off", config=off)):
        first = began(run, rows, monkeypatch)
        assert not torch.equal(first["linear.weight"], saved["linear.weight"])
    assert other.checkpoints("alignment", "projector.safetensors").is_file()
    assert not small.run.checkpoints("off", "alignment").exists()


def test_the_arm_without_stages_answers_as_it_was_aligned(small, rows):
    model, _ = arms.load_arm(small.run, "alignment-only")
    saved = load_file(str(small.run.checkpoints("alignment") / "projector.safetensors"))
    assert torch.equal(model.projector.linear.weight.cpu(), saved["linear.weight"])
    assert not [name for name, _ in model.named_parameters() if "lora_" in name]
    said = arms.answer_arm(small.run, "alignment-only", rows)
    assert len(said) == len(rows) and said["prediction"].map(type).eq(str).all()


def test_slots_of_a_run_score_any_name(small):
    names = aligning.aligned_names(small.run)
    assert len(names) and (names["pieces"] >= 1).all()
    records = small.store.records.head(7)
    scores = aligning.slots_alone(small.run, {"AF": "atrial fibrillation"}, records)
    assert scores.shape == (7, 1) and scores["AF"].nunique() == 7
    assert set(aligning.alignment_curve(small.run)) == {"step", "loss"}


def test_a_second_projector_is_taught_table_4_s_names_and_the_run_s_own_stays(small):
    own = small.run.checkpoints("alignment", "projector.safetensors")
    before = own.read_bytes()
    other = aligning.with_all_names(small.run)
    taught, more = (set(aligning.aligned_names(run)["code"]) for run in (small.run, other))
    assert taught < more and more - taught <= zero_shot_codes() and own.read_bytes() == before
    scores = aligning.slots_alone(other, {"SR": "sinus rhythm"}, small.store.records.head(5))
    assert len(scores) == 5


def test_the_table_lists_arms_in_its_own_order_and_by_stage():
    keys = ["none", "alignment-only", "de-biased"]
    assert list(arms_of(keys)) == ["de-biased", "none", "alignment-only"]
    assert list(arms_of(keys, "stage1")) == ["de-biased"]
    assert list(arms_of(keys, "stage2")) == ["de-biased", "none"]
    titles = {(a.key, b.key) for a, b in comparisons(keys)}
    assert titles == {("de-biased", "none"), ("none", "alignment-only")}
    assert ARMS["none"].stages == ("stage2",) and ARMS["alignment-only"].stages == ()


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["arms=[de-biased,sceptic]"], "sceptic"),
        (["arms=[none]"], "de-biased"),
        (["alignment.epochs=0"], "alignment-only"),
        (["study.arms=[alignment-only]"], "study.arms"),
        (["stage1.projector_rate=0"], "projector_rate"),
    ],
)
def test_invalid_arms_give_a_one_line_error(overrides, named):
    with pytest.raises(ConfigError, match=named) as caught:
        compose("demo", overrides)
    assert "\n" not in str(caught.value)


def test_a_profile_without_alignment_leaves_a_note_where_its_stage_must_leave_a_folder(small):
    off = replace(small.config, alignment=replace(small.config.alignment, epochs=0))
    run = small.run.below("noted", config=off)
    aligning.leave_unaligned(run)
    for name in ("alignment", "all_names"):
        assert [file.name for file in run.checkpoints(name).iterdir()] == ["none.json"]

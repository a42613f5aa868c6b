"""Contract tests that every objective in `ecg_lib/objectives` must pass."""

import copy
import inspect
from dataclasses import replace

import objective_cases as cases
import pandas as pd
import pytest
import torch

from ecg_lib.config import compose
from ecg_lib.data.prepare import prepare
from ecg_lib.errors import ConfigError, DataError
from ecg_lib.objectives import objective
from ecg_lib.objectives.loading import load_encoder
from ecg_lib.objectives.objective import Given

each = pytest.mark.parametrize("name", objective.names())


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return prepare("simulated", None, tmp_path_factory.mktemp("s") / "store", patients=40, seed=2)


@pytest.fixture(scope="module")
def pretrained(store, tmp_path_factory):
    """A function that pretrains an objective by name, once, with any text encoder frozen.

    It returns the folder, the trained module, and the module's weights before the first step.
    """
    done = {}

    def of(name):
        if name not in done:
            folder, module = tmp_path_factory.mktemp(name), objective.find(name)
            done[name] = (folder, *train(module, folder, store))
        return done[name]

    def train(module, folder, store):
        made, build = [], module.Objective
        given = Given(0, replace(cases.TEXT, trainable=False), store, range(len(store)))

        def noted(*arguments):
            learner = build(*arguments)
            made.extend((learner, {n: p.detach().clone() for n, p in learner.named_parameters()}))
            return learner

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "Objective", noted)
            name = module.__name__.rpartition(".")[2]
            objective.pretrain(name, cases.encoder, cases.settings(name), given, folder)
        return made

    return of


def a_batch(learner, n=8):
    return learner.collate(learner.rows()[0][:n])


def test_the_files_of_the_folder_are_found():
    assert {"clip_reports", "clip_snippets", "findings_and_text"} <= set(objective.names())
    assert "loading" not in objective.names() and "objective" not in objective.names()


@each
def test_its_values_stand_in_a_file_of_its_name(name):
    values = cases.values(name)
    assert values["name"] == name
    objective.settings(values)


@pytest.mark.parametrize("file", sorted(file.stem for file in cases.CONF.glob("*.yaml")))
def test_every_file_of_the_config_group_composes_to_valid_settings(file):
    section = compose("smoke", [f"objective={file}"]).objective
    assert objective.settings(section)
    assert file.startswith(section["name"])


@each
@pytest.mark.parametrize(
    "mistake", [{"speeed": 1}, {"batch_size": "many"}, {"learning_rate": None}]
)
def test_a_mistake_in_its_settings_is_one_line_that_names_the_field(name, mistake):
    with pytest.raises(ConfigError) as caught:
        objective.settings(cases.values(name, **mistake), "here")
    assert str(caught.value).startswith(f"here.{next(iter(mistake))}")
    assert "\n" not in str(caught.value)


@each
def test_a_missing_setting_is_named(name):
    values = cases.values(name)
    del values["batch_size"]
    with pytest.raises(ConfigError, match="here.batch_size"):
        objective.settings(values, "here")


@each
def test_a_batch_holds_a_row_for_each_ecg(name, store):
    learner = cases.built(name, store)
    batch = a_batch(learner)
    assert batch["ecg"].shape == (8, 12, 1000) and batch["ecg"].dtype == torch.float32
    assert all(len(values) == 8 for values in batch.values())
    train, valid = learner.rows()
    assert train and isinstance(valid, list)


@each
def test_forward_needs_exactly_the_batch(name, store):
    learner = cases.built(name, store)
    batch = a_batch(learner)
    kinds = {p.kind for p in inspect.signature(learner.forward).parameters.values()}
    assert inspect.Parameter.VAR_KEYWORD not in kinds
    assert learner(**batch).loss.ndim == 0
    with pytest.raises(TypeError):
        learner(**batch, ecgs=batch["ecg"])
    for key in batch:
        with pytest.raises(TypeError):
            learner(**{name: value for name, value in batch.items() if name != key})


@each
def test_steps_lower_the_loss(name, store):
    learner = cases.built(name, store)
    batch = a_batch(learner)
    optimizer = learner.optimizer() or torch.optim.AdamW(learner.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = learner(**batch).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.05


def encoder_of(learner):
    return next(m for m in learner.modules() if isinstance(m, type(cases.encoder())))


@each
def test_what_is_saved_is_the_encoder_and_a_curve(name, pretrained):
    folder, learner, _ = pretrained(name)
    ecg = torch.randn(3, 12, 1000)
    saved, own = load_encoder(folder).eval(), encoder_of(learner).eval()
    assert torch.equal(saved(ecg).tokens, own(ecg).tokens)
    curve = pd.read_csv(folder / "curve.csv")
    assert {"step", "loss"} <= set(curve) and curve["loss"].notna().any()
    assert not (folder / "trainer").exists(), "what is only needed to resume is removed"


@each
def test_it_teaches_the_encoder_and_leaves_frozen_bytes_alone(name, pretrained):
    _, learner, before = pretrained(name)
    now = dict(learner.named_parameters())
    moved = {n for n, p in now.items() if not torch.equal(p, before[n])}
    frozen = {n for n, p in now.items() if not p.requires_grad}
    assert frozen >= {n for n in now if ".text_encoder." in n}
    assert not {n for n in moved & frozen if not n.startswith(tuple(learner.companions()))}
    encoder = {id(p) for p in encoder_of(learner).parameters()}
    assert len([n for n in moved if id(now[n]) in encoder]) > len(encoder) / 2


def test_an_objective_of_ones_own_is_named_by_its_path(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("class Settings: pass\nclass Objective: pass\n")
    (tmp_path / "half.py").write_text("class Settings: pass\n")
    package = tmp_path / "some_package"
    package.mkdir()
    for file in ("mine.py", "half.py"):
        (tmp_path / file).rename(package / file)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert objective.find("some_package.mine").Objective
    with pytest.raises(ConfigError, match="defines no Objective"):
        objective.find("some_package.half")
    for unknown in ("nothing", "some_package.nothing", "no_package.mine"):
        with pytest.raises(ConfigError, match=f"no objective '{unknown}'; choose clip_reports"):
            objective.find(unknown)


def test_an_objective_that_needs_reports_says_so():
    for name in ("clip_reports", "clip_snippets"):
        with pytest.raises(ConfigError, match="give it a prepared store"):
            cases.built(name, None, Given(0, cases.TEXT))


def test_reports_that_say_nothing_teach_nothing(store, tmp_path):
    silent = copy.copy(store)
    silent.records = store.records.assign(report="ecg")
    given = Given(0, cases.TEXT, silent, range(len(store)))
    for name in ("clip_reports", "clip_snippets"):
        with pytest.raises(DataError, match=f"{name}: no ECG to learn from"):
            objective.pretrain(name, cases.encoder, cases.settings(name), given, tmp_path)


def test_a_start_brings_its_width_and_its_temperature(store):
    start = cases.built("clip_snippets", store, temperature=0.2)
    clip = objective.PretrainedClip(start.clip, start.tokenizer)
    given = Given(0, cases.TEXT, store, range(len(store)), start=clip)
    with pytest.raises(ConfigError, match="objective.width is 32, but it starts from .* width 16"):
        cases.built("clip_snippets", store, given, **{"width": 32})
    further = cases.built("clip_snippets", store, given, temperature=None)
    assert further.clip is start.clip and further.clip.scale().item() == pytest.approx(5)
    cases.built("clip_snippets", store, given, temperature=0.1)
    assert start.clip.scale().item() == pytest.approx(10)
    with pytest.raises(ConfigError, match="objective.temperature is null"):
        cases.built("clip_snippets", store, temperature=None)

"""Tests that a change makes the right artefacts stale, and only those.

The function behind each artefact is called as the notebooks call it. Its key is computed over a
copy of the library in which one file is edited.
"""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from ecg_lib import closure
from ecg_lib.config import compose
from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.write_store import write_store
from ecg_lib.experiments import (
    aligning,
    arms,
    encoder_pretraining,
    language_model,
    table3_baselines,
)
from ecg_lib.experiments.llm_experiment import LlmExperiment
from ecg_lib.objectives.objective import Given
from ecg_lib.training import cache

LIBRARY = Path(closure.__file__).parent
ARMS = {"arm de-biased", "arm weighted", "arm none"}
CONTRASTIVE = {"encoder", "encoder, snippets"}
TINY = {"language model", "look-ups"}
ROOMS = (
    aligning,
    arms,
    encoder_pretraining,
    language_model,
    table3_baselines,
)  # the modules that train or load


class Asked(Exception):
    """Raised when a key has been made, so that nothing is trained."""


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory):
    """The function that trains or loads each artefact, by name."""
    folder = tmp_path_factory.mktemp("artefacts")
    store = write_store(folder / "store", SimulatedCohort(patients=60, seed=1))
    config = compose("smoke")
    run = LlmExperiment(config, folder)
    named = replace(run, config=replace(config, llm=replace(config.llm, name_or_path="a/model")))
    practice = replace(config.llm, name_or_path="a/model", practice=True)
    practised = replace(run, config=replace(config, llm=practice))
    (folder / "encoded.json").write_text("{}")
    for each in (run, named, practised):
        each.__dict__.update(store=store, tokens=SimpleNamespace(folder=folder))
    rows = pd.DataFrame({"question": ["Is it?"], "answer": [["yes"]], "ecg_id": [["1"]]})
    weighted = rows.assign(weight=1.0)
    snippets = config.pretraining_study.objective, "mv", Given(0, config.text_encoder, store, [0])
    return {
        "arm de-biased": partial(arms.run_stage, named, "stage1", "de-biased", rows),
        "arm weighted": partial(arms.run_stage, named, "stage1", "weighted", weighted),
        "arm none": partial(arms.run_stage, named, "stage2", "none", rows),
        "alignment": partial(aligning.align_projector, named),
        "encoder": partial(encoder_pretraining.pretrain_encoder, run, store),
        "encoder, snippets": partial(encoder_pretraining.teach, config, *snippets, folder),
        "simulated reader": partial(encoder_pretraining.train_readers, run),
        "language model": partial(language_model.llm_of_profile, run),
        "look-ups": partial(language_model.look_ups_of_profile, run),
        "reading practice": partial(language_model.llm_of_profile, practised),
        "fusion": partial(table3_baselines.train_fusion, named, rows),
        "tagger": partial(table3_baselines.train_tagger, named),
    }


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the library, over which keys are computed."""
    shutil.copytree(LIBRARY, tmp_path / LIBRARY.name, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(closure, "PACKAGE", tmp_path / LIBRARY.name)
    monkeypatch.setattr(table3_baselines.AutoTokenizer, "from_pretrained", lambda name: None)
    closure._known_tables.cache_clear()
    yield tmp_path / LIBRARY.name
    closure._known_tables.cache_clear()


def keys(artefacts, monkeypatch):
    """Return the key of each artefact, by name."""

    def asked(folder, key, *_, **__):
        raise Asked(key)

    found = {}
    for room in ROOMS:
        monkeypatch.setattr(room, "train_or_load", asked)
    for name, make in artefacts.items():
        with pytest.raises(Asked) as caught:
            make()
        (found[name],) = caught.value.args
    return found


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text, f"{file.name} no longer holds what this test changes"
    file.write_text(text.replace(old, new))


EDITS = {
    "weighted loss": (
        "ecg_llm/weighted_loss.py",
        "self.mean(each * weight, labels)",
        "self.mean(0 * each * weight, labels)",
        {"arm weighted"},
    ),
    "alignment": (
        "ecg_llm/alignment.py",
        "0.5 / share",
        "0.6 / share",
        {"alignment", *ARMS},  # every arm starts from it
    ),
    "answer joiner": (
        "questions/vocabulary.py",
        "def answer_text(",
        "def answer_text_of(",
        {*ARMS, *TINY, "fusion", "reading practice"},
    ),
    "gather": (
        "objectives/parts/gather.py",
        "def true_of(",
        "def false_of(",
        {*CONTRASTIVE, "simulated reader"},
    ),
    "optimiser": (
        "training/muon.py",
        "class ",
        "class Slower",
        {"simulated reader", *TINY},
    ),
    "parts of practice": (
        "named_llm/reading_practice.py",
        "_PARTS = 8",
        "_PARTS = 9",
        {"reading practice"},
    ),
    "fusion": ("baselines/fusion.py", "def train_fusion(", "def train(", {"fusion"}),
    "findings": ("baselines/tagger.py", "def save_tags(", "def save(", {"tagger"}),
    "report": ("report/tables.py", "def tidy(", "def untidy(", set()),
}


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_stales_what_it_trained_and_nothing_else(what, artefacts, copied, monkeypatch):
    file, old, new, stale = EDITS[what]
    before = keys(artefacts, monkeypatch)
    assert set(before) == set(artefacts)
    edit(copied / file, old, new)
    after = keys(artefacts, monkeypatch)
    assert {name for name in before if after[name] != before[name]} == stale
    changed = {
        part for name in stale for part in before[name] if after[name][part] != before[name][part]
    }
    assert changed <= {"code", "alignment"}


def test_another_version_of_torch_stales_all_and_says_so(artefacts, copied, monkeypatch, tmp_path):
    before = keys(artefacts, monkeypatch)
    monkeypatch.setattr(cache, "version", lambda name: "99.0")
    after = keys(artefacts, monkeypatch)
    for name in artefacts:
        marker = tmp_path / name / cache.MARKER
        marker.parent.mkdir()
        marker.write_text(cache.json.dumps(before[name]))
        assert cache.why_not_current(marker.parent, after[name]) == "libraries changed"
        assert not cache.why_not_current(marker.parent, before[name])


def test_a_build_for_another_processor_is_the_same_version(artefacts, copied, monkeypatch):
    monkeypatch.setattr(cache, "version", lambda name: "2.0+cpu")
    before = keys(artefacts, monkeypatch)
    monkeypatch.setattr(cache, "version", lambda name: "2.0+cu128")
    assert keys(artefacts, monkeypatch) == before


def test_comments_docstrings_and_types_stale_nothing(artefacts, copied, monkeypatch):
    before = keys(artefacts, monkeypatch)
    edit(copied / "ecg_llm/weighted_loss.py", '"""Alternative', '# A remark.\n"""Other')
    edit(copied / "ecg_llm/finetune.py", "import Lora, Stage", "import Lora, Stage, Fusion")
    assert keys(artefacts, monkeypatch) == before

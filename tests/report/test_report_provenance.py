"""Tests that a result's stamp covers the parameters and code of its notebook, and no others."""

import shutil
from pathlib import Path

import pytest

from ecg_lib import closure, paths, stages
from ecg_lib.cli.notebook import all_names
from ecg_lib.config import compose
from ecg_lib.experiments.experiment import Experiment

LIBRARY = Path(closure.__file__).parent


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the library and the notebooks, from which stamps are computed."""
    shutil.copytree(LIBRARY, tmp_path / LIBRARY.name, ignore=shutil.ignore_patterns("*.pyc"))
    shutil.copytree(paths.NOTEBOOKS, tmp_path / "notebooks")
    shutil.copytree(paths.ROOT / "pipelines", tmp_path / "pipelines")
    monkeypatch.setattr(closure, "PACKAGE", tmp_path / LIBRARY.name)
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    for kept in (closure._known_tables, stages.all_stages):
        kept.cache_clear()
    yield tmp_path
    for kept in (closure._known_tables, stages.all_stages):
        kept.cache_clear()


def stamp(notebook, *overrides):
    """Return the stamp of a notebook's results."""
    return Experiment.of(compose("demo", list(overrides)), notebook).provenance([])


def test_an_edit_changes_the_code_hash_of_the_notebooks_that_use_it(copied):
    names = ("debiased/02_contrastive", "debiased/03_bias", "studies/simulated_to_real")
    before = {name: stamp(name).code_hash for name in names}
    bias = copied / "ecg_lib/questions/bias.py"
    text = bias.read_text()
    bias.write_text(text.replace('"""', '"""Reworded. ', 1) + "\n# a remark\n")
    assert {name: stamp(name).code_hash for name in names} == before
    bias.write_text(text + "\nOTHER = 1\n")
    after = {name: stamp(name).code_hash for name in names}
    assert {name for name in names if after[name] != before[name]} == {"debiased/03_bias"}


@pytest.mark.parametrize(
    ("file", "stale"),
    [
        ("encoders/stem_vit.py", {"02_contrastive", "09_cases"}),
        ("objectives/clip_reports.py", {"02_contrastive"}),
        ("objectives/clip_snippets.py", set()),  # no study of demo uses it
    ],
)
def test_the_encoder_and_the_objective_that_a_profile_names_count(copied, file, stale):
    names = ("01_data", "02_contrastive", "03_bias", "09_cases")
    before = {name: stamp(f"debiased/{name}").code_hash for name in names}
    edited = copied / "ecg_lib" / file
    edited.write_text(edited.read_text() + "\nOTHER = 1\n")
    after = {name: stamp(f"debiased/{name}").code_hash for name in names}
    assert {name for name in names if after[name] != before[name]} == stale


def test_the_notebook_s_own_code_counts_and_its_text_does_not(copied):
    file = copied / "notebooks" / "debiased" / "03_bias.ipynb"
    before, text = stamp("debiased/03_bias").code_hash, file.read_text()
    reworded = text.replace("## The rows", "## These rows")
    assert reworded != text
    file.write_text(reworded)
    assert stamp("debiased/03_bias").code_hash == before
    file.write_text(text.replace("import pandas as pd", "import pandas as pd; OTHER = 1", 1))
    assert stamp("debiased/03_bias").code_hash != before


@pytest.mark.parametrize(
    ("notebook", "override", "same"),
    [
        ("debiased/01_data", "stage1.epochs=9", True),
        ("debiased/01_data", "seed=9", False),
        ("debiased/03_bias", "encoder.depth=3", True),
        ("debiased/03_bias", "questions.world=nature", False),
        ("debiased/02_contrastive", "stage2.epochs=9", True),
        ("debiased/09_cases", "objective.epochs=9", False),  # read by a stage it builds on
        ("debiased/09_cases", "fusion.depth=3", True),
        ("debiased/09_cases", "stages.simulated_to_real=[]", True),
    ],
)
def test_parameters_count_where_the_notebook_or_what_it_builds_on_reads_them(
    notebook, override, same
):
    changed = stamp(notebook, override).params_hash
    assert (changed == stamp(notebook).params_hash) is same


@pytest.mark.parametrize("notebook", all_names())
def test_every_notebook_names_itself(notebook):
    source = closure.notebook_source(paths.NOTEBOOKS / f"{notebook}.ipynb")
    assert f'Experiment.open(params, "{notebook}")' in source

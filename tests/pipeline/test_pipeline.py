"""The pipeline end to end in smoke: what it declares it writes, and it writes it only once."""

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import nbformat
import pytest
import yaml
from library_imports import sections_used
from pipeline_fixtures import make_clone

from ecg_lib.config import Config

REPO = Path(__file__).resolve().parents[2]
STAGES = yaml.safe_load((REPO / "dvc.yaml").read_text())["stages"]
PROFILES = sorted(path.stem for path in (REPO / "conf" / "profile").glob("*.yaml"))
MADE = ("data/", "checkpoints/", "results/${profile}")  # by earlier stages
in_one_worker = pytest.mark.xdist_group("pipeline")


def digests(paths):
    """File -> digest of its bytes, of files and of everything in folders."""
    files = [file for p in paths for file in ([p] if p.is_file() else sorted(p.rglob("*")))]
    return {f: hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.is_file()}


@pytest.mark.slow
@in_one_worker
def test_every_declared_output_exists_and_is_not_empty(smoke_clone):
    outs = smoke_clone.outs("smoke")
    assert len(outs) > 40
    hollow = [out for out in outs if not any(digests([out]))]
    assert not hollow
    assert all(out.stat().st_size > 0 for out in outs)


@pytest.mark.slow
@in_one_worker
def test_nothing_runs_a_second_time(smoke_clone):
    again = smoke_clone.run("dvc", "repro").stdout
    assert "Running stage" not in again
    assert again.count("didn't change, skipping") == len(STAGES)


@pytest.mark.slow
@in_one_worker
def test_git_sees_no_output_of_the_pipeline_but_its_lock_file(smoke_clone):
    assert smoke_clone.run("git", "status", "--porcelain", "-uall").stdout.split() == [
        *["M", "params.yaml"],
        *["??", "dvc.lock"],
    ]


ONE_BY_ONE = """
from dataclasses import replace
from ecg_lib.experiments import arms
from ecg_lib.experiments.llm_experiment import LlmExperiment
run = LlmExperiment.open()
arms.run_stage(run.below("alone"), "stage2", "none", run.questions("train"))
"""


@pytest.mark.slow
@in_one_worker
def test_arms_trained_side_by_side_are_those_trained_one_by_one(smoke_clone):
    smoke_clone.run("python", "-c", ONE_BY_ONE)
    alone, beside = (
        {
            f.relative_to(folder): digest
            for f, digest in digests([folder]).items()
            if f.suffix == ".safetensors"
        }
        for folder in (
            smoke_clone.folder / "checkpoints" / place / "stage2" / "none"
            for place in ("smoke/alone", "smoke")
        )
    )
    assert alone and alone == beside


@pytest.mark.slow
@in_one_worker
def test_an_edited_sentence_retrains_nothing(smoke_clone):
    notebook = smoke_clone.folder / "notebooks" / "05_finetune.ipynb"
    trained = smoke_clone.outs("smoke", under="checkpoints/")
    before, times = digests(trained), {f: f.stat().st_mtime_ns for f in digests(trained)}
    original = notebook.read_text()
    content = nbformat.reads(original, as_version=4)
    content.cells[0].source += "\n\nAnother sentence."
    nbformat.write(content, notebook)
    try:
        ran = smoke_clone.run("dvc", "repro").stdout
    finally:
        notebook.write_text(original)
    assert [line for line in ran.splitlines() if "Running stage" in line] == [
        "Running stage '05_finetune@smoke':"
    ]
    assert digests(trained) == before
    weights = [file for file in before if file.suffix == ".safetensors"]
    assert {f: f.stat().st_mtime_ns for f in weights} == {f: times[f] for f in weights}
    smoke_clone.run("dvc", "repro")


@pytest.mark.slow
@in_one_worker
def test_two_clean_runs_give_the_same_tables_to_the_byte(smoke_clone, tmp_path):
    other = make_clone(tmp_path)
    other.run("dvc", "exp", "run", "-S", "profile=smoke")  # composes params.yaml by itself
    tables = digests(smoke_clone.outs("smoke", under="results/"))
    assert len(tables) > 10
    again = digests(other.outs("smoke", under="results/"))
    names = {file.relative_to(smoke_clone.folder): digest for file, digest in tables.items()}
    assert {file.relative_to(other.folder): digest for file, digest in again.items()} == names


@pytest.mark.parametrize("profile", PROFILES)
def test_the_pipeline_is_well_formed_in_every_profile(profile, tmp_path):
    clone = make_clone(tmp_path)
    clone.run("python", "-m", "ecg_lib.config", profile, "data.root=/anywhere")
    listed = clone.run("dvc", "stage", "list", "--name-only").stdout.split()
    assert sorted(listed) == [f"{name}@{profile}" for name in sorted(STAGES)]
    clone.run("dvc", "dag")  # no stage writes what it or another one reads or writes
    outs = [str(out.relative_to(clone.folder)) for out in clone.outs(profile)]
    assert len(set(outs)) == len(outs)
    assert all(Path(out).parts[1] == profile for out in outs), "profiles must not share a folder"


def test_there_is_one_stage_for_each_notebook_and_two_for_the_language_model():
    notebooks = {path.stem for path in (REPO / "notebooks").glob("*.ipynb")}
    assert set(STAGES) == notebooks | {"look_ups", "language_model"}
    assert STAGES["look_ups"]["cmd"] == "python -m ecg_lib.experiments.reading look_ups"
    assert STAGES["language_model"]["cmd"] == "python -m ecg_lib.experiments.reading"
    for name in notebooks:
        stage = STAGES[name]
        assert stage["cmd"] == f"python -m ecg_lib.cli.notebook {name}"
        assert stage["deps"][0] == f"notebooks/{name}.ipynb"
        assert stage["outs"][0] == f"executed/${{profile}}/{name}.ipynb"


def test_what_make_runs_side_by_side_needs_nothing_of_each_other():
    recipes = re.findall(r"^\t@\$\(BESIDE\) (.*)$", (REPO / "Makefile").read_text(), re.MULTILINE)
    words, encoder, answers, cases = ({name for name in STAGES if name in r} for r in recipes)
    assert words == {"00_tour", "03_bias", "look_ups"}
    assert encoder == {"02_contrastive", "10_simulated_to_real"}
    assert (answers, cases) == ({"06_ecgqa"}, {"07_zero_shot", "09_cases"})
    for halves, before in (
        ((words, encoder), {"01_data"}),
        (
            (answers, cases),
            {"01_data", "language_model", "04_debias", "05_finetune"} | words | encoder,
        ),
    ):
        for half in halves:
            needed = {d for name in half for d in STAGES[name]["deps"] if d.startswith(MADE)}
            assert needed <= made_by(half | before)


def made_by(names: set[str]) -> set[str]:
    """What some stages write."""
    return {
        o if isinstance(o, str) else next(iter(o)) for name in names for o in STAGES[name]["outs"]
    }


def test_what_takes_long_survives_a_second_run():
    outs = [out for stage in STAGES.values() for out in stage["outs"]]
    assert not [out for out in outs if isinstance(out, str) and out.startswith("checkpoints/")]
    trained = [o for out in outs if isinstance(out, dict) for o in out.items() if "check" in o[0]]
    assert trained and all(how == {"persist": True} for _, how in trained)


@pytest.mark.parametrize("name", sorted(STAGES))
def test_a_stage_knows_all_the_parameters_its_notebook_reads(name):
    fields = {field.name for field in dataclasses.fields(Config)} - {"threads"}
    read = sections_used(code(name)) & fields
    assert read <= set(STAGES[name]["params"]), "add these to the params of the stage in dvc.yaml"


def code(name):
    """Source of a stage: a notebook's code cells, without lines that are IPython's."""
    if name in ("look_ups", "language_model"):
        return "from ecg_lib import reading\nreading.main([])"
    notebook = json.loads((REPO / "notebooks" / f"{name}.ipynb").read_text())
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    lines = "\n".join(cells).splitlines()
    return "\n".join(line for line in lines if not line.startswith(("%", "!")))

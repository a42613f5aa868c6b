"""End-to-end tests of the pipelines in smoke: they write what they declare, and only once."""

import hashlib
import json

import nbformat
import pytest
from pipeline_fixtures import make_clone

from ecg_lib import paths
from ecg_lib.stages import all_stages

PROFILES = sorted(path.stem for path in (paths.CONF / "profile").glob("*.yaml"))
in_one_worker = pytest.mark.xdist_group("pipeline")


def digests(files):
    """Map each file, including those inside the given folders, to the digest of its bytes."""
    files = [file for p in files for file in ([p] if p.is_file() else sorted(p.rglob("*")))]
    return {f: hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.is_file()}


def stages_in(said, words):
    """Return the stages named in lines that begin with `words`, without profile and pipeline."""
    lines = [line for line in said.splitlines() if line.startswith(words)]
    return {line.split("'")[1].split("@")[0].rpartition(":")[2] for line in lines}


@pytest.mark.slow
@in_one_worker
def test_every_declared_output_exists_and_is_not_empty(smoke_clone):
    outs = smoke_clone.outs()
    assert len(outs) > 40
    hollow = [out for out in outs if not any(digests([out]))]
    assert not hollow
    assert all(out.stat().st_size > 0 for out in outs)


@pytest.mark.slow
@in_one_worker
def test_nothing_but_the_hashing_of_code_runs_a_second_time(smoke_clone):
    again = smoke_clone.run("dvc", "repro", "--all-pipelines").stdout
    assert stages_in(again, "Running stage") == {"code"}
    assert stages_in(again, "Stage") == set(all_stages())
    told = smoke_clone.run("dvc", "status").stdout.split()
    assert told == ["code:", "always", "changed"]


@pytest.mark.slow
@in_one_worker
def test_git_sees_no_output_of_the_pipelines_but_their_lock_files(smoke_clone):
    assert smoke_clone.run("git", "status", "--porcelain", "-uall").stdout.split() == [
        *["M", "params.yaml"],
        *["??", "dvc.lock"],
        *["??", "pipelines/kmerl/dvc.lock"],
        *["??", "pipelines/studies/dvc.lock"],
    ]


ONE_BY_ONE = """
from ecg_lib.experiments import arms
from ecg_lib.experiments.llm_experiment import LlmExperiment
run = LlmExperiment.open()
arms.run_stage(run.below("alone"), "stage2", "none", run.question_rows("train"))
"""


@pytest.mark.slow
@in_one_worker
def test_arms_trained_side_by_side_are_those_trained_one_by_one(smoke_clone):
    smoke_clone.run("python", "-c", ONE_BY_ONE)
    checkpoints = smoke_clone.folder / "checkpoints" / "smoke"
    alone, beside = (
        {
            f.relative_to(folder): digest
            for f, digest in digests([folder]).items()
            if f.suffix == ".safetensors"
        }
        for folder in (checkpoints / "alone/stage2/none", checkpoints / "stage2/none")
    )
    assert alone and alone == beside


@pytest.mark.slow
@in_one_worker
def test_an_edited_sentence_retrains_nothing(smoke_clone):
    notebook = smoke_clone.folder / "notebooks" / "debiased" / "05_finetune.ipynb"
    trained = smoke_clone.outs(under="checkpoints/")
    before, times = digests(trained), {f: f.stat().st_mtime_ns for f in digests(trained)}
    original = notebook.read_text()
    content = nbformat.reads(original, as_version=4)
    content.cells[0].source += "\n\nAnother sentence."
    nbformat.write(content, notebook)
    try:
        ran = smoke_clone.run("dvc", "repro").stdout
    finally:
        notebook.write_text(original)
    assert stages_in(ran, "Running stage") == {"code", "05_finetune"}
    assert digests(trained) == before
    weights = [file for file in before if file.suffix == ".safetensors"]
    assert {f: f.stat().st_mtime_ns for f in weights} == {f: times[f] for f in weights}
    smoke_clone.run("dvc", "repro")


@pytest.mark.slow
@in_one_worker
@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("questions/bias.py", '"""', '"""Reworded. '),
        ("questions/bias.py", "def ", "OTHER = 1\n\n\ndef "),
        ("training/muon.py", "class ", "OTHER = 1\n\n\nclass "),
    ],
)
def test_an_edited_file_runs_just_the_stages_that_use_it(smoke_clone, file, old, new):
    path = smoke_clone.folder / "ecg_lib" / file
    original = path.read_text()
    path.write_text(original.replace(old, new, 1))
    try:
        smoke_clone.run("python", "-m", "ecg_lib.cli.pipeline", "code")
        told = smoke_clone.run("dvc", "status").stdout
    finally:
        path.write_text(original)
        smoke_clone.run("python", "-m", "ecg_lib.cli.pipeline", "code")
    lines = [line for line in told.splitlines() if line and not line[0].isspace()]
    changed = {line.rstrip(":").split("@")[0].rpartition(":")[2] for line in lines} - {"code"}
    meant = "Reworded" not in new
    uses = {n for n, s in all_stages().items() if file in {str(f) for f in files_of(s)}}
    assert uses and len(uses) < len(all_stages())
    assert changed == (uses if meant else set())


def files_of(stage):
    """Return the library files that a stage's code hash covers."""
    from ecg_lib import closure

    return {
        file.relative_to(closure.PACKAGE)
        for file in closure.closure(*closure.imports(stage.source))
        if file.is_relative_to(closure.PACKAGE)
    }


@pytest.mark.slow
@in_one_worker
def test_dvc_shows_the_metrics_and_draws_the_plots(smoke_clone, tmp_path):
    told = smoke_clone.run("dvc", "metrics", "show").stdout
    assert "results/smoke/metrics.json" in told and "exact match.S-Verify" in told
    smoke_clone.run("dvc", "plots", "show", "--out", str(tmp_path / "plots"))
    page = (tmp_path / "plots" / "index.html").read_text()
    assert "Accuracy lost with a random ECG (smoke)" in page and "de-biased, drop" in page


@pytest.mark.slow
@in_one_worker
def test_two_clean_runs_give_the_same_tables_to_the_byte(smoke_clone, tmp_path):
    other = make_clone(tmp_path)
    # This command composes params.yaml itself.
    other.run("dvc", "exp", "run", "--all-pipelines", "-S", "profile=smoke")
    tables = digests(smoke_clone.outs(under="results/"))
    assert len(tables) > 10
    again = digests(other.outs(under="results/"))
    names = {file.relative_to(smoke_clone.folder): digest for file, digest in tables.items()}
    assert {file.relative_to(other.folder): digest for file, digest in again.items()} == names


GRAPH = """
import json
from ecg_lib.cli.run_stages import stage_graph
print(json.dumps({name: sorted(needs) for name, needs in stage_graph().items()}))
"""


@pytest.mark.parametrize("profile", PROFILES)
def test_the_pipelines_are_well_formed_in_every_profile(profile, tmp_path):
    clone = make_clone(tmp_path)
    clone.run("python", "-m", "ecg_lib.config", profile, "data.root=/anywhere")
    listed = clone.run("dvc", "stage", "list", "-R", ".", "--name-only").stdout.split()
    names = {name.rpartition(":")[2] for name in listed}
    assert names == {"code", *(f"{name}@{profile}" for name in clone.stages())}
    # This is DVC's own graph. DVC refuses overlapping outputs and cycles.
    graph = json.loads(clone.run("python", "-c", GRAPH).stdout)
    assert set(graph) == set(listed) and graph["code"] == []
    assert all("code" in needs for name, needs in graph.items() if name != "code")
    outs = [str(out.relative_to(clone.folder)) for out in clone.outs()]
    assert len(set(outs)) == len(outs)
    assert all(out.split("/")[1] == profile for out in outs), "profiles must not share a folder"

"""Tests that the pipeline files match the notebooks, and that the notebooks declare everything."""

import subprocess

import pytest
import yaml

from ecg_lib import paths, stages
from ecg_lib.cli import pipeline
from ecg_lib.config import compose
from ecg_lib.errors import ConfigError
from ecg_lib.report.claims.claim_list import CLAIMS, Tables
from ecg_lib.report.outcome import ARMS, TABLE1, WORLDS
from ecg_lib.stages import MAIN, Stage, all_stages, ancestors, maker, needs

STAGES = all_stages()


def source(code, **declared):
    return Stage("made_up", MAIN, "", code, **declared)


@pytest.mark.parametrize("name", pipeline.pipeline_files())
def test_the_committed_pipeline_is_the_generated_one(name):
    committed = (paths.ROOT / pipeline.pipeline_files()[name]).read_text()
    assert committed == pipeline.rendered(name), "run `make pipeline`"
    assert "ecg_lib/" not in committed


def test_no_lock_file_is_committed():
    """A clone could not fetch the files that a lock file lists (docs/reproducibility.md).

    DVC refuses a lock file that git ignores, so .gitignore cannot keep it out.
    """
    listed = ["git", "-C", str(paths.ROOT), "ls-files", "*dvc.lock"]
    assert subprocess.run(listed, capture_output=True, text=True).stdout == ""


def test_every_notebook_is_a_stage():
    notebooks = {path.stem for path in paths.NOTEBOOKS.rglob("*.ipynb")}
    assert {stage.name for stage in STAGES.values() if stage.notebook} == notebooks
    assert {"look_ups", "language_model"} == set(STAGES) - notebooks


def test_every_folder_and_table_is_made_once():
    made = [thing for stage in STAGES.values() for thing in [*stage.makes, *stage.tables]]
    assert len(made) == len(set(made))


@pytest.mark.parametrize("name", STAGES)
def test_every_folder_and_table_that_a_stage_reads_is_made_by_one(name):
    stage = STAGES[name]
    made = {folder for each in STAGES.values() for folder in each.makes}
    assert stage.opened <= made
    assert set(stage.reads) <= {table for each in STAGES.values() for table in each.tables}


@pytest.mark.parametrize("name", STAGES)
def test_no_stage_waits_for_itself(name):
    """The tour reads tables of later notebooks, so those must not need anything from it."""
    before = [maker(thing) for thing in [*needs(STAGES[name]), *STAGES[name].reads]]
    assert all(name not in {s.name for s in ancestors(STAGES[b])} for b in before if b != name)


def test_the_tour_reads_the_tables_that_its_outcome_is_made_of():
    assert set(STAGES["00_tour"].reads) == {TABLE1, WORLDS, ARMS}


def test_the_claims_are_judged_by_tables_that_their_stage_reads(tmp_path):
    class Asked(Tables):
        names: set = set()

        def frame(self, table):
            self.names.add(table)
            return super().frame(table)

    asked = Asked(tmp_path)
    for claim in CLAIMS:
        claim.ours(asked)
    (judge,) = (stage for stage in STAGES.values() if "claims.csv" in stage.writes)
    assert asked.names <= {*judge.reads, *judge.tables}


def test_checkpoints_persist_across_runs():
    for name in pipeline.pipeline_files():
        for stage in yaml.safe_load(pipeline.rendered(name))["stages"].values():
            for out in stage["outs"]:
                path, how = next(iter(out.items())) if isinstance(out, dict) else (out, {})
                assert how.get("persist", False) == path.startswith("checkpoints/")


def test_stages_know_the_parameters_they_read_and_not_all_others():
    assert {"stage1", "lora", "llm"} <= STAGES["04_debias"].sections
    assert not {"stage1", "stage2", "llm", "encoder"} & STAGES["01_data"].sections
    assert not {"stage1", "encoder", "llm"} & STAGES["03_bias"].sections
    assert "fusion" in STAGES["06_ecgqa"].sections
    read = set().union(*(stage.sections for stage in STAGES.values()))
    assert read == set(compose("demo").as_dict()) - {"threads", "stages"}


def test_results_depend_on_the_parameters_of_what_their_stage_builds_on():
    assert {"encoder", "objective", "llm"} <= stages.parameters(STAGES["09_cases"])
    assert "stage2" not in stages.parameters(STAGES["02_contrastive"])


@pytest.mark.parametrize(
    ("code", "sections"),
    [
        ("run.config.encoder.width", {"encoder"}),
        ("base = run.config\nbase.fusion", {"fusion"}),
        ("getattr(config, name)\nname = 'stage1'", {"stage1"}),
        ("from ecg_lib.config import load_config\nload_config()", set()),  # checks do not count
    ],
)
def test_a_section_counts_however_it_is_read(code, sections):
    assert source(code).sections - {"profile", "label", "seed"} == sections


def test_what_is_written_must_be_named_as_a_plain_string():
    assert source("run.table('a', 1)\nrun.figure(f, 'b')").tables == ["a"]
    with pytest.raises(ConfigError, match="made_up.*plain string"):
        source("run.table(name, 1)").tables  # noqa: B018


def test_a_folder_whose_name_is_put_together_may_be_any_that_the_code_names():
    assert source("run.checkpoints('encoder')").folders == {"checkpoints/encoder"}
    assert source("run.checkpoints(stage)\nstage = 'stage1'").folders == {"checkpoints/stage1"}


@pytest.mark.parametrize("profile", ["demo", "demo-full", "smoke"])
def test_a_profile_says_of_each_study_whether_it_has_it(profile):
    asked = {stage.key for stage in STAGES.values() if stage.pipeline != MAIN}
    told = compose(profile).stages
    assert set(told) == asked
    assert all(names in ([], [profile]) for names in told.values())

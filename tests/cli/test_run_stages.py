"""Test that stages run once the stages they need are done, and that one failure stops all."""

import subprocess
import sys

import pytest

from ecg_lib.cli.run_stages import StageFailed, _needed_by, run

# code -> data -> encoder, words -> arms -> table; tour needs only the data
NEEDS = {
    "code": set(),
    "data": {"code"},
    "tour": {"data"},
    "encoder": {"data"},
    "words": {"data"},
    "arms": {"encoder", "words"},
    "table": {"arms"},
}


class Machine:
    """Starts processes that end at once, and records their order and how many ran together."""

    def __init__(self, failing=()):
        self.failing, self.begun, self.most, self.shares = failing, [], 0, {}
        self.alive: dict[str, subprocess.Popen] = {}

    def start(self, name, jobs):
        self.shares[name] = jobs
        self.alive = {n: p for n, p in self.alive.items() if p.returncode is None}
        ended = int(name in self.failing)
        self.alive[name] = subprocess.Popen([sys.executable, "-c", f"raise SystemExit({ended})"])
        self.most = max(self.most, len(self.alive))
        self.begun.append(name)
        return self.alive[name]


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_every_stage_runs_once_after_what_it_needs(jobs):
    machine = Machine()
    run(NEEDS, jobs, machine.start)
    assert sorted(machine.begun) == sorted(NEEDS)
    for name, before in NEEDS.items():
        assert all(machine.begun.index(name) > machine.begun.index(b) for b in before)
    assert machine.most <= jobs


def test_one_job_runs_one_stage_at_a_time_and_two_run_beside_each_other():
    one, two = Machine(), Machine()
    run(NEEDS, 1, one.start)
    run(NEEDS, 2, two.start)
    assert (one.most, two.most) == (1, 2)


def test_the_stage_most_others_need_starts_first():
    machine = Machine()
    run(NEEDS, 2, machine.start)
    assert machine.begun.index("tour") > machine.begun.index("words") > 1


def test_a_failure_stops_all_and_is_one_line():
    machine = Machine(failing=["words"])
    with pytest.raises(StageFailed) as caught:
        run(NEEDS, 2, machine.start)
    assert "words" in str(caught.value) and "\n" not in str(caught.value)
    assert not {"arms", "table"} & set(machine.begun)
    assert all(process.poll() is not None for process in machine.alive.values())


def test_every_stage_has_the_same_share_of_the_cores():
    machine = Machine()
    run(NEEDS, 2, machine.start)
    assert machine.shares == dict.fromkeys(NEEDS, 2)


def test_one_pipeline_runs_with_what_it_needs_and_nothing_else():
    graph = {
        "code": set(),
        "01_data@demo": {"code"},
        "02_contrastive@demo": {"01_data@demo"},
        "pipelines/other/dvc.yaml:first@demo": {"code", "01_data@demo"},
        "pipelines/studies/dvc.yaml:nature@demo": {"02_contrastive@demo"},
    }
    assert set(_needed_by("other", graph)) == {
        *["code", "01_data@demo", "pipelines/other/dvc.yaml:first@demo"]
    }
    with pytest.raises(StageFailed, match="asks for no stage of pipelines/absent"):
        _needed_by("absent", graph)

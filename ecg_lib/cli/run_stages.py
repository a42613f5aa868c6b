"""Parallel runner for the stages of the DVC pipelines.

DVC itself runs one stage at a time. It still knows the order, decides what is out of date and
records the results. This module only starts each stage as soon as the stages before it are done.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping

from joblib import cpu_count

from ecg_lib import paths
from ecg_lib.errors import EcgLibError

Start = Callable[[str, int], subprocess.Popen]


class StageFailed(EcgLibError):
    """A stage failed, or the pipeline files cannot be read."""


def run_all(jobs: int, pipeline: str | None = None) -> None:
    """Bring every stage up to date, or those of one pipeline and the stages they need.

    Parameters
    ----------
    jobs : int
        Largest number of stages that run at once.
    pipeline : str, optional
        A folder of pipelines/, such as "studies".

    Raises
    ------
    StageFailed
        A stage failed, or the profile asks for no stage of the pipeline. The stages running beside
        it have ended, and no further stage was started.
    """
    graph = stage_graph()
    run(_needed_by(pipeline, graph) if pipeline else graph, jobs, _repro)


def _needed_by(pipeline: str, graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return the part of a graph that holds a pipeline's stages and all that they need."""
    new = [name for name in graph if name.startswith(f"pipelines/{pipeline}/")]
    if not new:
        raise StageFailed(
            f"this profile asks for no stage of pipelines/{pipeline}; list it under `stages`"
        )
    found: dict[str, set[str]] = {}
    while new:
        name = new.pop()
        if name not in found:
            found[name] = graph[name]
            new += graph[name]
    return found


def stage_graph() -> dict[str, set[str]]:
    """Map each stage of the profile in params.yaml to the stages it needs, according to DVC."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(paths.ROOT)) as repo:
            graph = repo.index.graph
            return {s.addressing: {n.addressing for n in graph.successors(s)} for s in graph}
    except DvcException as error:
        raise StageFailed(str(error).splitlines()[0]) from error


def run(needs: Mapping[str, set[str]], jobs: int, start: Start) -> None:
    """Run stages, at most `jobs` at once; stages with the longest chain of dependents go first.

    Parameters
    ----------
    needs : mapping of str to set of str
        For each stage, the stages that must be done before it.
    jobs : int
        Largest number of stages that run at once.
    start : callable
        Takes a stage and `jobs`, and starts the stage on one `jobs`-th of the cores. Every stage
        gets the same share, because the last digits of results depend on the number of threads.

    Raises
    ------
    StageFailed
        A stage failed.
    """
    length = _chain_lengths(needs)
    todo = sorted(needs, key=lambda name: (-length[name], name))
    done: set[str] = set()
    running: dict[str, subprocess.Popen] = {}
    while todo or running:
        ready = [name for name in todo if needs[name] <= done]
        for name in ready[: jobs - len(running)]:
            todo.remove(name)
            running[name] = start(name, jobs)
        name = _first_to_end(running)
        if running.pop(name).returncode:
            for other in running.values():
                other.wait()
            raise StageFailed(f"stage {name} failed; fix the error printed above")
        done.add(name)


def _chain_lengths(needs: Mapping[str, set[str]]) -> dict[str, int]:
    """Return the length of the longest chain of stages that starts with each stage."""
    waiting = {name: [n for n, before in needs.items() if name in before] for name in needs}
    found: dict[str, int] = {}

    def length(name: str) -> int:
        if name not in found:
            found[name] = 1 + max(map(length, waiting[name]), default=0)
        return found[name]

    return {name: length(name) for name in needs}


def _first_to_end(running: Mapping[str, subprocess.Popen]) -> str:
    while True:
        for name, process in running.items():
            try:
                process.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
            return name


def _repro(name: str, jobs: int) -> subprocess.Popen:
    share = {"OMP_NUM_THREADS": str(-(-cpu_count() // jobs))} if jobs > 1 else {}
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", name],
        cwd=paths.ROOT,
        env=share | os.environ,  # the caller's own setting takes precedence
    )

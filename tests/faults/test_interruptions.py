"""Test that a killed, starved or doubled run costs nothing; `make torture` does it at length.

Here three small steps that write in every way there is: a preparation, a training, and the results.
"""

import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import jobs
import pytest

from ecg_lib import disk
from ecg_lib.data.store import EcgStore
from ecg_lib.data.write_store import write_store
from ecg_lib.disk import abandoned, alone, write_file
from ecg_lib.errors import BadRecord, DataError
from ecg_lib.training.cache import fingerprint, train_or_load

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def tortured(tmp_path_factory):
    """What the quick torture did and lost."""
    told = tmp_path_factory.mktemp("torture") / "told.json"
    command = [sys.executable, HERE / "torture.py", "--quick", "--json", told]
    command += ["--kills", "4", "--full", "1", "--twice", "1", "--seed", "1"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert "torture: " in ended.stdout, ended.stdout + ended.stderr
    report = json.loads(told.read_text())
    assert ended.returncode == bool(report["losses"])
    return report


def lost(report, kind):
    return [line for line in report["losses"] if line.startswith(kind)]


def test_a_killed_run_goes_on_to_the_same_bytes_and_leaves_nothing(tortured):
    for step in ("prepare", "line", "results"):
        assert tortured["done"][f"kill -9, {step}"] == 4
    assert not lost(tortured, "kill -9")


def test_a_full_disk_is_told_in_one_line_and_costs_nothing(tortured):
    assert tortured["done"]["ENOSPC, prepare"] == 1
    assert not lost(tortured, "ENOSPC") and not lost(tortured, "disk full")


def test_two_runs_on_one_folder_both_end_right(tortured):
    assert tortured["done"]["two runs, line"] == 1
    assert not lost(tortured, "two runs")


def test_a_second_run_says_who_holds_the_folder(tmp_path):
    said, held, go = [], threading.Event(), threading.Event()

    def hold():
        with alone(tmp_path / "a", "preparing"):
            held.set()
            go.wait(10)

    def say(text):
        said.append(text)
        go.set()

    first = threading.Thread(target=hold)
    first.start()
    assert held.wait(10)
    with alone(tmp_path / "a", "preparing", say):
        pass
    first.join()
    assert said == ["a: another run is preparing it; waiting for it to finish"]


def test_only_what_a_dead_process_left_is_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left, others = tmp_path / f".a-{dead.pid}.csv", tmp_path / f".a-{1}.csv"
    other_file = tmp_path / f".b-{dead.pid}.csv"
    for file in (left, others, other_file):
        file.write_text("half")
    write_file(tmp_path / "a.csv", "whole")
    assert not left.exists() and others.exists() and other_file.exists()
    assert abandoned(left.stem) and not abandoned(others.stem) and not abandoned(".a-text")
    disk.sweep(tmp_path)
    assert not other_file.exists() and (tmp_path / "a.csv").read_text() == "whole"


def test_a_store_that_a_killed_run_had_moved_aside_comes_back(tmp_path):
    source = jobs.build_source("ptbxl", jobs.write_inputs(tmp_path / "in"))
    store = write_store(tmp_path / "store", source)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    store.folder.rename(tmp_path / f".store.old-{dead.pid}")

    def gone(item):
        raise BadRecord("is gone")

    source.read, source.version = gone, "other"  # the source can no longer be read
    with pytest.raises(DataError, match="none of 12 records"):
        write_store(tmp_path / "store", source)
    assert len(EcgStore.open(tmp_path / "store")) == 12
    assert not list(tmp_path.glob(".store.old-*"))


def test_a_model_that_was_finished_but_not_yet_moved_is_not_trained_twice(tmp_path):
    calls, said, key = [], [], fingerprint(params=1)

    def train(folder):
        calls.append(1)
        (folder / "w").write_text("w")

    train_or_load(tmp_path / "run", key, train, None)
    (tmp_path / "run").rename(tmp_path / "run.partial")
    train_or_load(tmp_path / "run", key, train, said.append)
    assert len(calls) == 1 and "run that ended before" in said[0]
    assert (tmp_path / "run" / "w").read_text() == "w"
    assert not (tmp_path / "run.partial").exists()


def test_every_row_of_the_page_names_a_test_that_exists():
    page = (HERE.parents[1] / "docs" / "faults.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and "| when |" not in line]
    rows = [row for row in rows if not row.startswith("| when ")]
    assert len(rows) >= 30
    for row in rows:
        what, happens, do, test, file = re.fullmatch(
            r"\| (.+?) \| (.+?) \| (.+?) \| \[`(test_\w+)`\]\(\.\./(\S+)\) \|", row
        ).groups()
        assert f"def {test}(" in (HERE.parents[1] / file).read_text("utf-8"), row

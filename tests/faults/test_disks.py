"""Test that full, small and read-only disks are told in one line, and cost no older file."""

import errno
import functools
import os

import forked
import jobs
import numpy as np
import pytest
from forked import NOBODY, Fault

from ecg_lib.__main__ import main
from ecg_lib.disk import refused, write_file, writing
from ecg_lib.errors import DataError
from ecg_lib.experiments import kept_tokens

FULL = "no space left on the disk; free some and run it again"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError(errno.EFBIG, "File too large"),
        OSError("1000 requested and 12 written"),  # NumPy
        ValueError(
            "Error while serializing: I/O error: No space left (os error 28)"
        ),  # safetensors
        RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),  # torch
    ],
)
def test_a_full_disk_is_recognised_in_whatever_words_it_comes(error, tmp_path):
    with pytest.raises(DataError, match=f"a.bin: {FULL}"), writing(tmp_path / "a.bin"):
        raise error


def test_an_error_that_is_not_the_disk_s_stays_what_it_is(tmp_path):
    for error in (ValueError("os error"), FileNotFoundError(errno.ENOENT, "no"), KeyError("x")):
        assert not refused(error)
        with pytest.raises(type(error)), writing(tmp_path):
            raise error


def test_a_folder_where_a_file_belongs_is_named_and_kept(tmp_path):
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(DataError, match="a.csv: a folder lies where a file belongs; move it away"):
        write_file(tmp_path / "a.csv", "x")
    (tmp_path / "b").write_text("x")
    with pytest.raises(DataError, match="b: a file lies where a folder belongs; move it away"):
        write_file(tmp_path / "b" / "a.csv", "x")
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv", "b"}


def test_tokens_that_do_not_fit_are_refused_before_they_are_written(tmp_path, monkeypatch):
    class Store:
        hash = "h"

        def __len__(self):
            return 10**9

    encoder = type("E", (), {"config": type("C", (), {"tokens": 50, "width": 768})})()
    monkeypatch.setattr(kept_tokens, "weights_hash", lambda encoder: "w")
    with pytest.raises(DataError, match=r"need [\d,.]+ MB, but [\d,.]+ MB are free; free some"):
        kept_tokens._check_space(Store(), encoder, tmp_path / "tokens")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A root in which the quick steps have run, and the steps."""
    base = tmp_path_factory.mktemp("disks")
    base.chmod(0o755)
    for parent in base.parents:  # pytest's folders are closed to others
        if parent.name.startswith(("popen-", "pytest-")):
            parent.chmod(0o755)
    root, inputs = base / "root", jobs.write_inputs(base / "inputs")
    root.mkdir()
    steps = jobs.quick_steps(inputs)
    for name, work in steps.items():
        ended = forked.run(work, root)
        assert ended.status == 0, f"{name}: {ended.said[-2000:]}"
    return root, steps


def prepare_other(root, inputs):
    """Prepare as another version, so that the store is to be replaced."""
    source = jobs.build_source("ptbxl", inputs)
    source.version = "other"
    jobs.write_store(root / "data" / "files", source, chunk=4)


def train_other(root):
    """Train with another key, so that the model is to be replaced."""

    def train(folder):
        np.save(folder / "w.npy", np.zeros(9999))

    key = jobs.fingerprint(rate=0.2)
    jobs.train_or_load(root / "checkpoints" / "line", key, train)


def changing(root, steps):
    """Return work that replaces what the quick steps made, by name."""
    inputs = steps["prepare"].keywords["folder"]
    return {
        "prepare": functools.partial(prepare_other, inputs=inputs),
        "train": train_other,
        "results": functools.partial(jobs.write_results, value=2),
    }


@pytest.mark.parametrize("what", ["prepare", "train", "results"])
def test_a_disk_too_small_for_a_file_leaves_the_former_one(what, done):
    root, steps = done
    before = forked.tree(root)
    ended = forked.run(changing(root, steps)[what], root, Fault(file_limit=500))
    assert ended.status == 2 and FULL in ended.last, ended.said[-2000:]
    now = forked.tree(root)
    assert {n: h for n, h in now.items() if n in before} == before
    assert not [n for n in now if n not in before and ".parts-" not in n and ".partial" not in n]
    assert forked.run(steps["line" if what == "train" else what], root).status == 0
    left = forked.differences(before, forked.tree(root))
    assert not [one for one in left if what != "train" or ".partial/" not in one]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("what", ["prepare", "train", "results"])
def test_a_read_only_folder_is_told_in_one_line(what, done):
    root, steps = done
    before = forked.tree(root)
    ended = forked.run(changing(root, steps)[what], root, Fault(user=NOBODY))
    assert ended.status == 2, ended.said[-2000:]
    assert str(root) in ended.last and "; make it readable and writable" in ended.last, ended.last
    assert forked.tree(root) == before


@pytest.mark.skipif(os.getuid() == 0, reason="root may write into read-only folders")
def test_a_read_only_folder_is_told_to_its_owner(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(DataError, match="a.csv: permission denied; make it readable and writable"):
        write_file(tmp_path / "a.csv", "x")


def test_the_command_line_ends_in_one_line(tmp_path, capsys):
    inputs = jobs.write_inputs(tmp_path / "inputs")
    (tmp_path / "file").write_text("x")
    store = str(tmp_path / "file" / "store")
    assert main(["prepare", "ptbxl", "--source", str(inputs), "--out", store]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ")
    assert said.endswith("a file lies where a folder belongs; move it away and run it again")

"""Tests that training happens once and is then loaded, also after an interruption."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from ecg_lib.training.cache import fingerprint, train_or_load


def test_train_or_load_trains_once_then_loads_then_names_what_changed(tmp_path):
    calls, said = [], []

    def train(folder):
        calls.append(folder)
        (folder / "weights").write_text("w")

    key = fingerprint(params={"lr": 1}, data="d", code="c")
    folder = train_or_load(tmp_path / "stage1", key, train, said.append)
    train_or_load(tmp_path / "stage1", key, train, said.append)
    assert len(calls) == 1 and "loaded" in said[-1]
    assert (folder / "weights").read_text() == "w"
    train_or_load(
        tmp_path / "stage1", fingerprint(params={"lr": 2}, data="d", code="c"), train, said.append
    )
    assert len(calls) == 2 and "params changed" in said[-1]


def test_a_failed_training_leaves_no_finished_folder_and_is_taken_up_again(tmp_path):
    key = fingerprint(params=1)

    def fails(folder):
        (folder / "half").write_text("epoch 1")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_or_load(tmp_path / "run", key, fails)
    assert not (tmp_path / "run").exists()
    seen = []
    train_or_load(tmp_path / "run", key, lambda f: seen.append((f / "half").read_text()))
    assert seen == ["epoch 1"]


def test_other_parameters_do_not_resume_from_foreign_checkpoints(tmp_path):
    def fails(folder):
        (folder / "half").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_or_load(tmp_path / "run", fingerprint(params=1), fails)
    seen = []
    train_or_load(
        tmp_path / "run", fingerprint(params=2), lambda f: seen.append((f / "half").exists())
    )
    assert seen == [False]


def test_another_process_leaves_alone_what_the_first_is_writing(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    begun = tmp_path / "run.partial" / "begun.json"
    begun.parent.mkdir()
    begun.write_text('{"par')  # half-written, as another process may find it
    train_or_load(tmp_path / "run", fingerprint(params=1), lambda f: (f / "by-1").touch())
    assert begun.read_text() == '{"par' and (begun.parent / "by-1").is_file()
    assert not (tmp_path / "run").exists()


def test_a_second_run_waits_for_what_the_first_trains(tmp_path):
    key, begun, go, said, trained = fingerprint(params=1), Event(), Event(), [], []

    def train(folder):
        trained.append(folder)
        begun.set()
        assert go.wait(10)

    with ThreadPoolExecutor() as runs:
        first = runs.submit(train_or_load, tmp_path / "run", key, train, None)
        assert begun.wait(10)

        def say(text):
            said.append(text)
            go.set()

        second = runs.submit(train_or_load, tmp_path / "run", key, train, say)
        assert first.result(20) == second.result(20) == tmp_path / "run"
    assert len(trained) == 1
    assert said == [
        "run: another run is training it; waiting for it to finish",
        "run: loaded (same parameters, data and code)",
    ]

"""Test that every kind of file the project writes is named when it was cut or altered.

Each is emptied, cut at two places, altered in one byte, replaced by a folder, and replaced by other
content of the right form. It must then be named together with a cure, or be made again and this be
said; it must never be used.
"""

import shutil
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import jobs
import numpy as np
import pandas as pd
import pytest
import torch

from ecg_lib import paths
from ecg_lib.config import load_config
from ecg_lib.data.prepare import build_source
from ecg_lib.data.write_store import open_whole, write_store
from ecg_lib.ecg_llm.ask import load_model
from ecg_lib.errors import DataError, EcgLibError
from ecg_lib.evaluation.resamples import Resamples
from ecg_lib.experiments import arms
from ecg_lib.experiments.aligning import align_projector
from ecg_lib.experiments.encoder_pretraining import pretrain_encoder
from ecg_lib.objectives.loading import load_clip
from ecg_lib.report.tables import read_table
from ecg_lib.sealed import SEAL, checked, damage, seal
from ecg_lib.tiny_llm.llama import tiny_llama, train_byte_pairs
from ecg_lib.training.cache import fingerprint, train_or_load
from ecg_lib.training.resuming import drop_broken


@dataclass
class Made:
    """A finished small checkout, and what lies in it."""

    root: Path
    inputs: Path

    @property
    def run(self):
        """A run that remembers nothing of what it read before."""
        return jobs.experiment(self.root)

    def at(self, name: str) -> Path:
        """Return a file by a pattern that fits it alone."""
        (found,) = self.root.glob(name)
        return found


RUN = "checkpoints/smoke"


def untrained(folder):
    """Save a tiny language model as training leaves one."""
    torch.manual_seed(0)
    tokenizer = train_byte_pairs(["yes no not sure", "Is there a finding in this ECG?"], 380)
    tiny_llama(tokenizer, width=16, depth=1, heads=2).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    seal(folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    base = tmp_path_factory.mktemp("damaged")
    root, was, small = base / "root", paths.ROOT, arms._SMALL
    root.mkdir()
    (root / "ecg_lib").symlink_to(Path(paths.__file__).parent)
    inputs = jobs.write_inputs(base / "inputs")
    for name, step in jobs.steps(inputs).items():
        if name == "language model":
            untrained(root / RUN / "language_model" / "tiny")
        elif name not in ("stage 2", "evaluate"):
            step(root)
    run = jobs.experiment(root)
    frame = pd.DataFrame({"prediction": ["yes"] * 40})
    arms.keep_answers(run, {"de-biased": frame, "none": frame})
    Resamples.draw([str(i) for i in range(300)], 20, 0).save(run.data("resamples", "a.npz"))
    jobs.write_results(root)
    yield Made(root, inputs)
    paths.ROOT, arms._SMALL = was, small


def empty(file):
    file.write_bytes(b"")


def cut_early(file):
    file.write_bytes(file.read_bytes()[:7])


def cut_late(file):
    file.write_bytes(file.read_bytes()[:-3])


def one_byte(file):
    held = bytearray(file.read_bytes())
    held[len(held) * 2 // 3] ^= 1
    file.write_bytes(bytes(held))


def a_folder(file):
    file.unlink()
    file.mkdir()


def gone(file):
    file.unlink()


FAULTS = (empty, cut_early, cut_late, one_byte, a_folder, gone)


@pytest.fixture
def broken(made):
    """A function that damages a file for the length of a test."""
    saved = made.root.parent / "saved"
    shutil.copytree(made.root, saved, symlinks=True)
    yield lambda name, fault: fault(made.at(name))
    shutil.rmtree(made.root)
    saved.rename(made.root)


USES = {
    "store": (
        "data/smoke/cohorts/simulated/{}",
        ("signals.npy", "records.parquet", "manifest.json", "quarantine.csv", SEAL),
        lambda made: made.run.store,
    ),
    "questions": (
        "data/smoke/questions/{}",
        ("train.parquet", "test.parquet", SEAL),
        lambda made: made.run.question_rows("train"),
    ),
    "answers": (
        "data/smoke/answers/{}",
        ("de-biased.parquet", SEAL),
        lambda made: arms.kept_answers(made.run, "de-biased"),
    ),
    "encoder": (
        f"{RUN}/encoder/clip/clip/{{}}",
        ("projections.safetensors", "ecg_encoder/model.safetensors", "text_encoder/config.json"),
        lambda made: load_clip(made.root / RUN / "encoder"),
    ),
    "tiny language model": (
        f"{RUN}/language_model/tiny/{{}}",
        ("model.safetensors", "config.json", "tokenizer.json"),
        lambda made: made.run.llm,
    ),
    "arm": (
        f"{RUN}/stage1/de-biased/{{}}",
        ("projector.safetensors", "adapter/adapter_model.safetensors", "config.json", SEAL),
        lambda made: arms.load_arm(made.run, "de-biased", "stage1"),
    ),
    "model that is asked": (
        f"{RUN}/stage1/de-biased/{{}}",
        ("adapter/adapter_config.json", "encoder/model.safetensors"),
        lambda made: load_model(made.root / RUN / "stage1" / "de-biased"),
    ),
}


@pytest.mark.parametrize("kind", USES)
def test_a_damaged_file_is_named_with_a_cure_and_never_used(kind, made, broken):
    pattern, names, use = USES[kind]
    use(made)
    for name in names:
        for fault in FAULTS:
            if name == SEAL and fault is gone:
                continue  # as an earlier version left it
            file = made.at(pattern.format(name))
            held = file.read_bytes()
            fault(file)
            with pytest.raises(EcgLibError) as caught:
                use(made)
            told = str(caught.value)
            assert Path(name).name in told or "no saved" in told or "no prepared" in told, told
            assert "\n" not in told and ("again" in told or "give" in told or "run" in told), told
            if file.is_dir():
                file.rmdir()
            file.write_bytes(held)
    use(made)


def test_a_store_of_an_earlier_version_is_compared_with_its_own_hash(made, broken):
    place = made.root / "data/smoke/cohorts/simulated"
    (place / SEAL).unlink()
    assert len(open_whole(place)) > 50
    broken("data/smoke/cohorts/simulated/signals.npy", one_byte)
    with pytest.raises(DataError, match="simulated changed since it was written; prepare it again"):
        open_whole(place)


@pytest.mark.parametrize("content", ["[]", "{}", '{"format": 0}', '{"format": 1}'])
def test_a_manifest_of_another_form_is_named(content, made, broken):
    place = made.root / "data/smoke/cohorts/simulated"
    (place / SEAL).unlink()
    (place / "manifest.json").write_text(content)
    with pytest.raises(DataError, match="simulated.*prepare it again"):
        open_whole(place)


@pytest.mark.parametrize("fault", [cut_late, one_byte, a_folder])
def test_a_damaged_store_is_prepared_again_and_this_is_said(fault, made, broken):
    before = open_whole(made.root / "data/files").hash
    broken("data/files/signals.npy", fault)
    with pytest.warns(UserWarning, match="signals.npy.*prepared again"):
        jobs.prepare(made.root, made.inputs)
    assert open_whole(made.root / "data/files").hash == before
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jobs.prepare(made.root, made.inputs)


@pytest.mark.parametrize("fault", [cut_late, one_byte])
def test_a_damaged_part_of_a_preparation_is_read_again_and_this_is_said(fault, made, tmp_path):
    source = build_source("ptbxl", made.inputs)
    whole = write_store(tmp_path / "whole", source, chunk=4)
    kept = []

    def interrupted(new, source, parts, key):
        kept.extend(parts)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ecg_lib.data.write_store._assemble", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_store(tmp_path / "store", source, chunk=4)
    fault(kept[1])
    with pytest.warns(UserWarning, match=f"{kept[1].name}: damaged; its records are read again"):
        store = write_store(tmp_path / "store", source, chunk=4)
    assert store.hash == whole.hash and not list(tmp_path.glob(".store*"))


TOKENS = ("tokens.npy", "cls.npy", "encoded.json", SEAL)


@pytest.mark.parametrize("name", TOKENS)
def test_damaged_tokens_are_encoded_again_and_this_is_said(name, made, broken, capsys):
    tokens = np.array(made.run.tokens.tokens)
    for fault in (empty, cut_late, one_byte, a_folder):
        broken(f"{RUN}/features/simulated/*/{name}", fault)
        again = made.run.tokens
        assert "it is encoded again" in capsys.readouterr().err, fault
        assert np.array_equal(again.tokens, tokens) and not damage(again.folder)
    assert capsys.readouterr().err == ""


def test_a_damaged_encoder_is_trained_again_and_this_is_said(made, broken, capsys):
    file = made.at(f"{RUN}/encoder/clip/clip/ecg_encoder/model.safetensors")
    held = file.read_bytes()
    one_byte(file)
    run = made.run
    pretrain_encoder(run, run.store)
    assert "clip: training (clip/ecg_encoder/model.safetensors was altered)" in (
        capsys.readouterr().out
    )
    assert file.read_bytes() == held


@pytest.mark.parametrize("fault", [empty, cut_early, one_byte])
def test_a_damaged_fingerprint_is_a_reason_to_train_again(fault, made, broken, capsys):
    broken(f"{RUN}/alignment/fingerprint.json", fault)
    align_projector(made.run, say=None)
    if fault is not one_byte:  # which may also be a changed key
        assert "training (fingerprint.json is damaged)" in capsys.readouterr().err
    assert made.at(f"{RUN}/alignment/fingerprint.json").stat().st_size > 100


def test_an_altered_result_of_a_cache_is_made_again_and_said_even_in_silence(tmp_path, capsys):
    key = fingerprint(params=1)

    def train(folder):
        np.save(folder / "scores.npy", np.arange(100))

    train_or_load(tmp_path / "run", key, train, say=None)
    for fault in FAULTS:
        fault(tmp_path / "run" / "scores.npy")
        train_or_load(tmp_path / "run", key, train, say=None)
        assert "run: training (scores.npy" in capsys.readouterr().err, fault
        assert np.load(tmp_path / "run" / "scores.npy").sum() == 4950
    train_or_load(tmp_path / "run", key, train, say=None)
    assert capsys.readouterr().err == ""


def test_a_half_written_checkpoint_is_not_resumed_from(tmp_path, monkeypatch):
    never = SimpleNamespace(rmtree=lambda *_, **__: None)
    monkeypatch.setattr("ecg_lib.training.fit.shutil", never)  # a run killed at its very end
    jobs.train_line(tmp_path)
    (checkpoint,) = tmp_path.rglob("checkpoint-*")
    assert drop_broken(tmp_path) == []
    shutil.copytree(checkpoint, tmp_path / "kept")
    for name in ("model.safetensors", "optimizer.pt", "rng_state.pth", "trainer_state.json"):
        for fault in (empty, cut_early, cut_late, gone):
            if fault is gone and name in ("optimizer.pt", "rng_state.pth"):
                continue  # the state is written after these: they are never missing alone
            fault(checkpoint / name)
            assert drop_broken(tmp_path) == [checkpoint.name] and not checkpoint.exists()
            shutil.copytree(tmp_path / "kept", checkpoint)


@pytest.mark.parametrize("fault", [empty, cut_early, cut_late, a_folder, gone])
def test_damaged_resamples_are_named(fault, made, broken):
    broken("data/smoke/resamples/a.npz", fault)
    with pytest.raises(DataError, match="a.npz: cannot be read .*run the notebook that writes it"):
        Resamples.load(made.root / "data/smoke/resamples/a.npz")


@pytest.mark.parametrize("fault", [empty, cut_early, a_folder, gone])
def test_a_damaged_result_table_is_named(fault, made, broken):
    broken("results/smoke/a.csv", fault)
    with pytest.raises(DataError, match="a.csv"):
        read_table(made.root / "results/smoke/a.csv")


def test_a_result_table_that_lost_rows_or_changed_a_number_is_told_by_its_markdown(tmp_path):
    cells = [{"row": f"r{i}", "column": "c|d", "value": 50.25 + i, "n": 9} for i in range(5)]
    frame = jobs.tidy("t", cells, jobs.Provenance("smoke"))
    csv, md = jobs.write_table("t", frame, tmp_path, "T", "smoke")
    whole = csv.read_text()
    read_table(csv)
    csv.write_text("".join(whole.splitlines(keepends=True)[:-2]))
    with pytest.raises(DataError, match="it has 3 rows, but t.md has 5 cells; run the notebook"):
        read_table(csv)
    csv.write_text(whole.replace("52.25", "57.25"))
    with pytest.raises(DataError, match=r"'r2', 'c\|d' is 57.25, but .* in t.md"):
        read_table(csv)
    csv.write_text(whole.replace("52.25", "52.x5"))
    with pytest.raises(DataError, match="column value: could not convert"):
        read_table(csv)


def test_every_committed_table_agrees_with_its_markdown(committed_results):
    read = 0
    for csv in committed_results.rglob("*.csv"):
        own = csv.name == "claims.csv" or csv.parent.name == "benchmarks"  # columns of their own
        if csv.with_suffix(".md").is_file() and not own:
            read += len(read_table(csv)) > 0
    assert read > 40


@pytest.mark.parametrize("fault", [empty, cut_early, cut_late, a_folder, gone])
def test_a_damaged_params_yaml_is_named(fault, made, broken):
    broken("params.yaml", fault)
    try:
        load_config(made.root / "params.yaml")
    except EcgLibError as error:
        assert "params.yaml" in str(error) and "\n" not in str(error)
    else:
        assert fault is cut_late  # the last characters say nothing


def test_a_fetched_language_model_is_checked_before_it_is_used(made, tmp_path, monkeypatch):
    folder = made.root / "checkpoints" / "pretrained" / "smollm2-135m"
    shutil.copytree(made.root / RUN / "language_model" / "tiny", folder)
    config = made.run.config
    named = replace(config.llm, name_or_path="smollm2-135m")
    run = jobs.LlmExperiment.of(replace(config, llm=named))
    assert run.llm == str(folder)
    one_byte(folder / "model.safetensors")
    with pytest.raises(DataError, match="smollm2-135m: model.safetensors was altered; fetch it"):
        _ = run.llm
    shutil.rmtree(folder.parent)


def test_a_seal_names_what_is_missing_longer_and_altered_and_spares_hidden_files(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.bin").write_bytes(bytes(10))
    (tmp_path / ".a-1.bin").write_bytes(b"x")
    seal(tmp_path)
    assert damage(tmp_path) == "" and checked(tmp_path / "deep") == tmp_path / "deep"
    (tmp_path / ".a-1.bin").unlink()
    assert damage(tmp_path) == ""
    (tmp_path / "deep" / "a.bin").write_bytes(bytes(11))
    assert damage(tmp_path) == "deep/a.bin has 11 bytes instead of 10"
    with pytest.raises(DataError, match="deep/a.bin has 11 bytes instead of 10; make it again"):
        checked(tmp_path / "deep")
    (tmp_path / "deep" / "a.bin").unlink()
    assert damage(tmp_path) == "deep/a.bin is missing"

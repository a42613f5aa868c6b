"""Test that no file can bring code along, and that nothing asks the network on its own."""

import ast
import json
import os
import pickle
import shutil
from pathlib import Path
from urllib.request import urlopen

import forked
import jobs
import numpy as np
import pytest
import torch
from forked import Fault
from safetensors.torch import load_file

import ecg_lib
from ecg_lib import disk
from ecg_lib.data.write_store import open_whole, write_store
from ecg_lib.ecg_llm.frozen_llm import load_llm
from ecg_lib.evaluation.resamples import Resamples
from ecg_lib.tiny_llm.llama import tiny_llama, train_byte_pairs

PACKAGE = Path(ecg_lib.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
PICKLING = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "jsonpickle"}
UNPICKLING = {"read_pickle", "read_hdf", "unsafe_load", "full_load"}


def faults_of(source):
    """Yield what a source does that could run code from a file."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [(node.module or "").split(".")[0]]
        yield from (f"imports {name}" for name in names if name in PICKLING)
        if not isinstance(node, ast.Call):
            continue
        given = {key.arg: ast.unparse(key.value) for key in node.keywords}
        called = ast.unparse(node.func)
        if called in ("torch.load", "joblib.load") and given.get("weights_only") != "True":
            yield f"calls {called} without weights_only"
        if called == "yaml.load" and "Safe" not in ast.unparse(node):
            yield "calls yaml.load without a safe loader"
        if called.split(".")[-1] in UNPICKLING or called in ("eval", "exec"):
            yield f"calls {called}"
        for name in ("allow_pickle", "trust_remote_code"):
            if given.get(name, "False") != "False":
                yield f"sets {name}"


def test_no_file_of_the_library_unpickles_or_trusts_remote_code():
    found = [f"{file.name} {fault}" for file in FILES for fault in faults_of(file.read_text())]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from dill import loads",
        "torch.load(file)",
        "torch.load(file, weights_only=False)",
        "joblib.load(file)",
        "np.load(file, allow_pickle=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=trust)",
        "pd.read_pickle(file)",
        "yaml.load(text, yaml.Loader)",
        "eval(text)",
    ],
)
def test_what_is_looked_for_is_found(source):
    assert list(faults_of(source))


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return os.mkdir, (self.canary,)


@pytest.fixture
def evil(tmp_path):
    canary = tmp_path / "canary"
    yield Evil(canary)
    assert not canary.exists(), "code from a file was run"


def objects(evil):
    return np.array([evil], dtype=object)


def refuses(use):
    """Use a file and return what comes of it, an error or a result."""
    try:
        return use()
    except Exception as error:
        return error


def test_the_trap_works(tmp_path):
    pickle.loads(pickle.dumps(Evil(tmp_path / "canary")))
    assert (tmp_path / "canary").exists()


def test_a_pickle_in_a_store_its_parts_or_an_array_is_not_run(tmp_path, evil):
    source = jobs.build_source("ptbxl", jobs.write_inputs(tmp_path / "in"))
    store = write_store(tmp_path / "store", source)
    (store.folder / "seal.json").unlink()
    np.save(store.folder / "signals.npy", objects(evil), allow_pickle=True)
    with pytest.raises(ecg_lib.errors.DataError, match="prepare it again"):
        open_whole(store.folder)
    np.savez(tmp_path / "a.npz", patients=objects(evil), drawn=objects(evil))
    with pytest.raises(ecg_lib.errors.DataError, match="a.npz: cannot be read"):
        Resamples.load(tmp_path / "a.npz")


def test_a_pickle_in_a_checkpoint_of_an_interrupted_training_is_not_run(
    tmp_path, evil, monkeypatch
):
    class Stay:
        rmtree = staticmethod(lambda *_, **__: None)

    monkeypatch.setattr("ecg_lib.training.fit.shutil", Stay)
    jobs.train_line(tmp_path)
    monkeypatch.undo()
    folder = tmp_path / "checkpoints" / "line"
    (checkpoint,) = folder.rglob("checkpoint-*")
    partial = folder.with_name("line.partial")
    folder.rename(partial)
    key = json.loads((partial / "fingerprint.json").read_text())
    disk.write_file(partial / "begun.json", json.dumps(key))
    (partial / "fingerprint.json").unlink()
    kept = tmp_path / "kept"
    shutil.copytree(partial, kept)
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.save({"state": evil}, partial / "trainer" / checkpoint.name / name)
        refuses(lambda: jobs.train_line(tmp_path))
        assert not Path(evil.canary).exists(), name
        for left in (folder, partial):
            shutil.rmtree(left, ignore_errors=True)
        shutil.copytree(kept, partial)


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llm")
    tokenizer = train_byte_pairs(["yes no not sure"], 300)
    tiny_llama(tokenizer, width=16, depth=1, heads=2).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_pickle_in_place_of_weights_is_not_run(llm, tmp_path, evil):
    folder = tmp_path / "llm"
    shutil.copytree(llm, folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({**weights, "evil": evil}, folder / "pytorch_model.bin")
    assert isinstance(refuses(lambda: load_llm(folder, "float32")), Exception)


def test_a_model_that_brings_code_is_not_trusted(llm, tmp_path, evil):
    folder = tmp_path / "llm"
    shutil.copytree(llm, folder)
    (folder / "own.py").write_text(f"import os\nos.mkdir({evil.canary!r})\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}}
    (folder / "config.json").write_text(json.dumps(config))
    assert isinstance(refuses(lambda: load_llm(folder, "float32")), Exception)


def offline_work(root):
    """Do what a profile without a hub id does: simulate, pretrain, write results."""
    jobs.simulate(root)
    jobs.pretrain(root)
    jobs.write_results(root)


def test_nothing_asks_the_network_unless_a_hub_id_is_given(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "ecg_lib").symlink_to(PACKAGE)
    ended = forked.run(offline_work, root, Fault(offline=True))
    assert ended.status == 0, ended.said[-2000:]
    asked = forked.run(lambda root: urlopen("http://localhost:9"), root, Fault(offline=True))
    assert asked.status == 1 and "the network was asked for" in asked.said  # the trap is set

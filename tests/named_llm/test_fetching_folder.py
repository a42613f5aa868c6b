"""Tests of fetching a text encoder's folder from a wheel: taken as it is, whole, once."""

from dataclasses import replace

import pytest
import torch
from gguf_models import pack_folder
from paper_models import save_bert

from ecg_lib import paths
from ecg_lib.cli import fetch_llm as command
from ecg_lib.config import compose
from ecg_lib.ecg_llm.llm_names import fetched_folder
from ecg_lib.encoders.sentence_vectors import load_sentence_encoder
from ecg_lib.encoders.text_vectors import frozen_vectors
from ecg_lib.errors import DataError
from ecg_lib.named_llm.fetching import fetch_llm, packages, sha256_of
from ecg_lib.planning.shapes import clip_shape

TEXTS = ["sinus rhythm.", "left bundle branch block."]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A checkout of its own."""
    monkeypatch.setattr(paths, "ROOT", tmp_path / "root")
    return tmp_path / "root"


@pytest.fixture
def wheel(tmp_path):
    """A wheel with a saved BERT in it, the package that describes it, and the BERT's folder."""
    saved = save_bert(tmp_path / "saved", TEXTS)
    file = tmp_path / "tiny_texts-1.0-py3-none-any.whl"
    return file, pack_folder(file, saved), saved


def test_the_named_files_alone_are_taken_and_compute_the_same(root, wheel):
    file, package, saved = wheel
    said: list[str] = []
    folder = fetch_llm("tiny", package, file, said.append)
    assert folder == root / "checkpoints" / "pretrained" / "tiny"
    taken = {p.name for p in folder.iterdir()} - {"fingerprint.json", "seal.json"}
    assert taken == {*package.beside, "model.safetensors"}
    assert [p.name for p in folder.parent.iterdir()] == ["tiny"], "no second copy of the weights"
    vectors = [frozen_vectors(*load_sentence_encoder(str(p)), TEXTS) for p in (folder, saved)]
    assert torch.equal(*vectors)
    file.unlink()
    assert fetch_llm("tiny", package, file, said.append) == folder
    assert said[1:] == ["tiny: already there"] and "Apache-2.0" in said[0]


def test_another_version_of_a_library_fetches_nothing_again(root, wheel, monkeypatch):
    file, package, _ = wheel
    fetch_llm("tiny", package, file, print)
    file.unlink()
    monkeypatch.setattr("ecg_lib.training.cache.version", lambda name: "99.0")
    said: list[str] = []
    fetch_llm("tiny", package, None, said.append)
    assert said == ["tiny: already there"]


def test_a_damaged_folder_is_fetched_again(root, wheel):
    file, package, _ = wheel
    folder = fetch_llm("tiny", package, file, print)
    (folder / "model.safetensors").write_bytes(b"other")
    fetch_llm("tiny", package, file, print)
    assert sha256_of(folder / "model.safetensors") == package.model_sha256


@pytest.mark.parametrize("field", ["wheel_sha256", "model_sha256"])
def test_a_file_with_another_hash_is_refused_and_leaves_no_model(root, wheel, field):
    file, package, _ = wheel
    with pytest.raises(DataError, match="SHA-256 .*delete it") as error:
        fetch_llm("tiny", replace(package, **{field: "0" * 64}), file, print)
    assert "\n" not in str(error.value)
    assert not list(root.rglob("model.safetensors")) and not fetched_folder("tiny").exists()


def test_the_command_says_which_setting_takes_the_name(root, wheel, monkeypatch, capsys):
    file, package, _ = wheel
    monkeypatch.setattr(command, "packages", lambda: {"tiny": package})
    command.main(["tiny", "--wheel", str(file)])
    assert "ready: text_encoder.name_or_path=tiny" in capsys.readouterr().out


def test_minilm_is_pinned_and_a_plan_knows_its_size(monkeypatch):
    package = packages()["minilm"]
    assert package.model_sha256.startswith("53aa5117") and len(package.wheel_sha256) == 64
    shape = clip_shape(compose("smoke", ["text_encoder=minilm"])).text_encoder
    assert sum(p.numel() for p in shape.backbone.parameters()) == 22_565_376
    hub = compose("smoke", ["text_encoder.name_or_path=sentence-transformers/all-MiniLM-L6-v2"])
    assert clip_shape(hub).text_encoder.width == shape.width == 384


def test_the_real_model_is_the_one_that_was_pinned():
    folder = fetched_folder("minilm")
    if not folder.is_dir():
        pytest.skip("all-MiniLM-L6-v2 is not fetched; `make minilm` does it")
    assert sha256_of(folder / "model.safetensors") == packages()["minilm"].model_sha256
    encoder, _ = load_sentence_encoder("minilm")
    planned = clip_shape(compose("smoke", ["text_encoder=minilm"])).text_encoder.backbone
    assert {n: p.shape for n, p in encoder.backbone.named_parameters()} == {
        n: p.shape for n, p in planned.named_parameters()
    }
    assert "license: apache-2.0" in (folder / "README.md").read_text(encoding="utf-8")

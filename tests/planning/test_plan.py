"""Tests that the plan, computed from shapes alone, agrees with real models."""

import json

import pandas as pd
import pytest
import torch
from peft import LoraConfig
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from ecg_lib.__main__ import main
from ecg_lib.config import compose
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.processor import IGNORE
from ecg_lib.encoders.stem_vit import StemVit, StemVitConfig
from ecg_lib.errors import ConfigError
from ecg_lib.planning.cost import clip_cost, cost_of, stage_cost
from ecg_lib.planning.plan import Assumptions, disk, gpu_table, plan
from ecg_lib.planning.shapes import clip_shape, ecg_llm_shape, encoder_shape, named_config

L, H, V, DEPTH, MLP = 91, 4096, 32000, 32, 11008  # tokens per row; LLaMA-2-7B


def parameters(module):
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def paper():
    return compose("paper", ["data.root=."])


@pytest.fixture(scope="module")
def seven_b(paper):
    return ecg_llm_shape(paper)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A configuration whose LLM is a saved model, small enough to run."""
    folder = tmp_path_factory.mktemp("lm")
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return compose("smoke", [f"llm.name_or_path={folder}", "lora.dropout=0"])


def real(config):
    """Build the ECG-LLM of a configuration with weights, on the CPU."""
    sizes = {k: v for k, v in config.encoder.items() if k != "name"}
    encoder = StemVit(StemVitConfig(**sizes))
    lm = LlamaForCausalLM.from_pretrained(config.llm.name_or_path)
    lora = LoraConfig(r=config.lora.r, target_modules=["q_proj", "k_proj"], task_type="CAUSAL_LM")
    return EcgLlm.build(encoder, lm, slot_id=50, lora=lora).train()


def test_llama_2_has_its_published_number_of_weights(seven_b):
    layer = 4 * H * H + 3 * H * MLP + 2 * H
    adapters = DEPTH * 2 * 2 * H * 8  # q and k of each layer, two factors of rank 8
    assert parameters(seven_b.base_lm) - adapters == 2 * V * H + DEPTH * layer + H == 6_738_415_616
    trained = sum(p.numel() for p in seven_b.parameters() if p.requires_grad)
    assert trained == adapters + 4 * 768 * H + H


def test_the_encoder_has_the_number_of_weights_that_its_sizes_give(paper):
    d, n, mlp = 768, 100, 3072
    stem = 12 * 15 * d // 4 + d // 4 + d // 4 * 7 * d // 2 + d // 2 + 2 * (d // 4 + d // 2)
    patches = d // 2 * 10 * d + d
    block = 3 * d * d + d * d + d + 2 * d * mlp + mlp + d + 4 * d
    assert parameters(encoder_shape(paper)) == stem + patches + d + (n + 1) * d + 12 * block + 2 * d


def test_a_frozen_layer_passes_its_gradient_on_and_makes_none(seven_b):
    cost = stage_cost(seven_b, slots=35, words=L - 35, answer=8)
    linear = 2 * L * DEPTH * (4 * H * H + 3 * H * MLP)
    attention = DEPTH * 2 * 2 * L * L * H
    adapters = 2 * L * DEPTH * 2 * 2 * H * 8
    projector, head = 2 * 35 * 4 * 768 * H, 2 * 8 * H * V
    assert cost.forward_flops == linear + attention + adapters + projector + head
    # Backward costs as much as forward for frozen layers and the head. It costs twice as much where
    # weights are trained or both factors are activations. The projector's input needs no gradient.
    backward = linear + 2 * attention + 2 * adapters + projector + head
    assert cost.step_flops == cost.forward_flops + backward
    assert cost.checkpointed_flops == cost.step_flops + linear + attention + adapters
    assert cost.gradient_bytes == 4 * cost.trainable and cost.optimiser_bytes == 8 * cost.trainable
    half = cost.parameters - cost.trainable - parameters(seven_b.encoder)  # encoder in fp32
    assert cost.weight_bytes == 2 * half + 4 * (cost.parameters - half)
    assert cost.checkpointed_bytes < cost.activation_bytes / 8


def test_a_real_model_has_and_does_what_its_shape_says(small):
    model, shape = real(small), ecg_llm_shape(small)
    assert {n: p.shape for n, p in model.named_parameters()} == {
        n: p.shape for n, p in shape.named_parameters()
    }
    slots, words, answer = 25, 9, 3
    planned = stage_cost(shape, slots, words, answer)
    ids = torch.arange(slots + words)[None] % 40
    ids[:, :slots] = model.config.slot_id
    labels = ids.clone()
    labels[:, :-answer] = IGNORE
    tokens = torch.randn(1, 4 * slots, small.encoder["width"])

    def loss():
        return model(ids, torch.ones_like(ids), tokens, labels).loss

    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss().backward()
    assert counter.get_total_flops() == planned.step_flops
    with sdpa_kernel(SDPBackend.MATH):
        run = cost_of(model, loss)
    assert run.activation_bytes == pytest.approx(planned.activation_bytes, rel=0.05)


def test_the_contrastive_step_counts_both_encoders(small):
    shape = clip_shape(small)
    both = clip_cost(shape, 20, bf16=False)
    assert both.trainable == both.parameters == parameters(shape)
    assert 2.5 * both.forward_flops < both.step_flops < 3 * both.forward_flops
    assert clip_cost(shape, 40, bf16=False).forward_flops > both.forward_flops
    shape.text_encoder.requires_grad_(False)
    assert clip_cost(shape, 20, bf16=False).step_flops < both.step_flops


def test_time_scales_with_rows_and_machines_and_memory_decides_what_fits(small):
    one = plan(small, Assumptions(gpu="H100", stage1_rows=1000))["trainings"]["stage1"]
    two = plan(small, Assumptions(gpu="H100", stage1_rows=3000, gpus=2))["trainings"]["stage1"]
    assert two["hours"] == pytest.approx(1.5 * one["hours"]) and one["fits"]
    peak = gpu_table().at["H100", "bf16_tflops"] * 1e12
    assert one["hours"] == pytest.approx(1000 * one["step_flops"] / (0.35 * peak) / 3600)


def test_disk_is_what_int16_samples_take(paper):
    used = disk(paper, 800_035)
    assert used["MIMIC-IV-ECG, raw at 500 Hz"] == pytest.approx(800_035 * 120_000 / 1e9, rel=0.01)
    assert used["MIMIC-IV-ECG, prepared store"] == pytest.approx(19.2, rel=0.02)
    assert "ECG-QA, 414,348 rows" in used


def test_the_command_tells_the_same_as_text_and_as_json(capsys):
    arguments = ["plan", "smoke", "--gpu", "RTX4090", "--stage1-rows", "500"]
    assert main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert told["gpu"]["name"] == "RTX4090" and told["trainings"]["stage1"]["rows"] == 500
    assert f"{told['trainings']['stage2']['parameters']:,}" in text and "fits" in text


def test_bad_input_to_plan_is_one_line_and_exit_code_two(capsys):
    for arguments, words in (
        (["smoke", "--gpu", "V100"], list(gpu_table().index)),
        (["smoke", "--mfu", "2"], ["--mfu"]),
        (["nothing"], ["smoke", "paper"]),
        (["smoke", "--answer", "99"], ["--words"]),
    ):
        assert main(["plan", *arguments]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and all(word in err for word in words)


def test_a_model_of_unknown_size_is_answered_with_those_that_are_known(tmp_path):
    with pytest.raises(ConfigError, match="Llama-2-7b-chat-hf"):
        named_config(str(tmp_path))


def test_every_gpu_has_its_source():
    table = gpu_table()
    assert {"A100-40", "A100-80", "H100", "RTX4090"} <= set(table.index)
    assert isinstance(table, pd.DataFrame) and table["source"].str.len().min() > 10


def test_a_profile_without_arms_plans_no_llm():
    """Its encoder may then have any number of tokens."""
    config = compose("demo", ["encoder=resnet1d", "arms=[]", "stages.nature=[]"])
    told = plan(config, Assumptions())
    assert list(told["trainings"]) == ["contrastive"] and told["language_model"] == "no LLM"
    assert told["encode_flops"] > 0 and not any("slots" in note for note in told["notes"])

"""How fast a profile's models train and answer on the machine at hand, with random weights.

What `plan` computes from shapes, measured: nothing is downloaded, no data are read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from ecg_lib.config import Config
from ecg_lib.errors import ConfigError
from ecg_lib.models.processor import IGNORE
from ecg_lib.training.cost import SAMPLES, clip_cost, stage_cost
from ecg_lib.training.plan import gpu_table
from ecg_lib.training.shapes import clip_shape, ecg_llm_shape

CONTRASTIVE, STAGE, ANSWERS = "contrastive", "stage 1 and 2", "closed answers"


@dataclass(frozen=True)
class Load:
    """What is measured: `steps` of a batch, after `warm_up` that are not counted."""

    batch: int = 64
    steps: int = 10
    warm_up: int = 3
    ecgs: int = 1  # a question is about, 1 or 2
    words: int = 56  # text tokens of a question row, its answer among them
    answer: int = 8

    def check(self) -> None:
        """Raise `ConfigError` where a size cannot be."""
        for name, least in (("batch", 1), ("steps", 1), ("warm_up", 0), ("ecgs", 1), ("answer", 1)):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"--{name.replace('_', '-')} is {getattr(self, name)}; give {least} or more"
                )
        if self.answer >= self.words:
            raise ConfigError(
                f"--answer {self.answer} must be under --words {self.words}: the "
                "answer is among the words"
            )


def benchmark(config: Config, load: Load, device: str) -> pd.DataFrame:
    """Measure contrastive pretraining, fine-tuning and closed answers.

    Returns
    -------
    DataFrame, a row a part: samples and tokens a second, Tflop/s and their share of the GPU's bf16
    peak (NaN where the peak is not in `gpus.csv`), peak memory in GB (NaN off the GPU).
    """
    load.check()
    torch.manual_seed(config.seed)
    return pd.DataFrame([_contrastive(config, load, device), *_language(config, load, device)])


def _contrastive(config: Config, load: Load, device: str) -> dict:
    length, batch = config.text_encoder.max_tokens, load.batch
    cost = clip_cost(clip_shape(config), length, config.contrastive.bf16)
    clip = clip_shape(config, device).train()
    ecg = torch.randn(batch, 12, SAMPLES, device=device)
    words = torch.ones(batch, length, dtype=torch.long, device=device)

    def loss() -> Tensor:
        return clip(ecg, words, torch.ones_like(words)).loss

    return _measure(
        CONTRASTIVE,
        _step(clip, loss, config.contrastive.bf16, device),
        load,
        device,
        length,
        cost.step_flops,
    )


def _language(config: Config, load: Load, device: str) -> list[dict]:
    slots = config_slots(config) * load.ecgs
    cost = stage_cost(ecg_llm_shape(config), slots, load.words, load.answer)
    model = ecg_llm_shape(config, device).train()
    checkpointing = config.llm.gradient_checkpointing
    if checkpointing:
        model.base_lm.activation_checkpointing_enable()
    length = slots + load.words
    ids = torch.ones(load.batch, length, dtype=torch.long, device=device)
    ids[:, :slots] = model.config.slot_id
    labels = torch.full_like(ids, IGNORE)
    labels[:, -load.answer :] = 1
    ecgs = torch.randn(
        load.batch * load.ecgs, 4 * config_slots(config), model.encoder.config.width, device=device
    )
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "ecg_tokens": ecgs}
    flops = cost.checkpointed_flops if checkpointing else cost.step_flops
    step = _step(model, lambda: model(**batch, labels=labels).loss, config.stage1.bf16, device)
    trained = _measure(STAGE, step, load, device, length, flops)

    @torch.no_grad()
    def answer() -> None:
        model(**batch)

    model.eval()
    return [trained, _measure(ANSWERS, answer, load, device, length, cost.forward_flops)]


def config_slots(config: Config) -> int:
    """ECG slots of a prompt for each ECG (equation 5: four tokens share one)."""
    return SAMPLES // config.encoder.patch // 4


def _step(
    model: nn.Module, loss: Callable[[], Tensor], bf16: bool, device: str
) -> Callable[[], None]:
    """One optimiser step as the Trainer takes it."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-6)

    def step() -> None:
        cast = torch.autocast(torch.device(device).type, torch.bfloat16) if bf16 else nullcontext()
        with cast:
            value = loss()
        value.backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def _measure(
    part: str, run: Callable[[], None], load: Load, device: str, tokens: int, flops: int
) -> dict:
    gpu = torch.device(device).type == "cuda"
    for _ in range(load.warm_up):
        run()
    if gpu:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    for _ in range(load.steps):
        run()
    if gpu:
        torch.cuda.synchronize()
    samples = load.steps * load.batch / (time.perf_counter() - start)
    peak = peak_tflops(device)
    return {
        "part": part,
        "batch": load.batch,
        "tokens a sample": tokens,
        "samples/s": samples,
        "tokens/s": samples * tokens,
        "Tflop/s": samples * flops / 1e12,
        "share of peak": samples * flops / 1e12 / peak,
        "memory GB": torch.cuda.max_memory_allocated() / 1e9 if gpu else float("nan"),
    }


def peak_tflops(device: str) -> float:
    """Dense bf16 peak of the GPU, NaN where it is not in the table."""
    name = device_name(device).replace("GeForce", "").replace(" ", "")
    known = gpu_table()["bf16_tflops"]
    fits = [value for gpu, value in known.items() if gpu.split("-")[0] in name]
    return float(fits[0]) if fits else float("nan")


def device_name(device: str) -> str:
    """The hardware's own name."""
    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else "CPU"

"""A training step of the paper's size on a GPU: LLaMA-2-7B-shaped, LoRA, bf16, with a roofline.

`python -m benchmarks.gpu_step` measures it; weights are random and nothing is downloaded. It was
written and tested on a CPU. No number of it is in the tables until somebody runs it on a GPU.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM

from benchmarks.row import Row
from ecg_lib.config import Config, compose
from ecg_lib.ecg_llm.finetune import adapters
from ecg_lib.ecg_llm.frozen_llm import embeddings_of
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.packing import packed_row, sees
from ecg_lib.ecg_llm.processor import IGNORE
from ecg_lib.ecg_llm.projector import Projector
from ecg_lib.planning.plan import gpu_table
from ecg_lib.planning.shapes import encoder_shape, named_config

AIM = 0.45  # of the GPU's dense bf16 peak
ROW = Row("LLaMA-2-7B-shaped LoRA step in bf16", "the GPU's peak", AIM, "of peak")


@dataclass(frozen=True)
class Batch:
    """What a step trains on: packed rows of questions about one ECG."""

    rows: int = 16
    questions: int = 8  # per row
    words: int = 17  # of the prompt that the questions of a row share, without the ECG
    asked: int = 18  # tokens
    said: int = 4


@dataclass(frozen=True)
class Step:
    """A measured step. Weights are read at least twice, so `bytes_moved` is a lower bound."""

    seconds: float
    flops: float
    tokens: int
    questions: int
    bytes_moved: float
    peak_flops: float  # per second
    bandwidth: float  # bytes per second

    @property
    def share(self) -> float:
        """Share of the peak that the step reaches."""
        return self.flops / self.seconds / self.peak_flops

    @property
    def roof(self) -> float:
        """Share of the peak that memory allows: intensity over that of the roofline's ridge."""
        return min(1.0, self.flops / self.bytes_moved * self.bandwidth / self.peak_flops)

    def told(self) -> str:
        """Return the roofline in one line."""
        ridge = self.peak_flops / self.bandwidth
        return (
            f"{self.flops / self.seconds / 1e12:.0f} Tflop/s of {self.peak_flops / 1e12:.0f}; "
            f"{self.flops / self.bytes_moved:.0f} flop per byte of weights, ridge at {ridge:.0f}: "
            f"memory allows {self.roof:.0%} of the peak, {self.share:.0%} is reached; "
            f"{self.tokens / self.seconds:,.0f} tokens/s, "
            f"{self.questions / self.seconds:,.0f} questions/s"
        )


def build(config: Config, device: str) -> EcgLlm:
    """Build the profile's ECG-LLM with random weights; the encoder's tokens are cached anyway."""
    torch.manual_seed(0)
    with torch.device(device):
        lm = AutoModelForCausalLM.from_config(
            named_config(config.llm.name_or_path or ""), dtype=getattr(torch, config.llm.dtype)
        )
        slot_id = len(embeddings_of(lm).weight)
        return EcgLlm.build(encoder_shape(config), lm, slot_id, lora=adapters(config.lora)).train()


def batch_of(model: EcgLlm, given: Batch, device: str) -> dict[str, Tensor]:
    """Make packed rows of random words, as the collator of stages 1 and 2 does."""
    encoder = model.encoder.config
    prefix = [1] * given.words + [model.config.slot_id] * Projector.slots(encoder.tokens)
    row = packed_row(prefix, [([2] * given.asked, [3] * given.said)] * given.questions)
    ids, labels, turn, position = (
        torch.tensor([row[name]] * given.rows, device=device)
        for name in ("input_ids", "labels", "turn", "position")
    )
    return {
        "input_ids": ids,  # (B, L)
        "labels": labels,
        "attention_mask": sees(turn)[:, None],  # (B, 1, L, L)
        "position_ids": position,
        "ecg_tokens": torch.randn(given.rows, encoder.tokens, encoder.width, device=device),
    }


def measure(model: EcgLlm, batch: dict[str, Tensor], peak_flops: float, steps: int = 10) -> Step:
    """Count the operations of a step and time it on the model's device."""
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-6)
    device = batch["input_ids"].device

    def step() -> None:
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    with FlopCounterMode(display=False) as counter:
        step()
    weights = sum(w.numel() * w.element_size() for w in model.language_model.parameters())
    answers = int((batch["labels"] != IGNORE).int().diff(dim=-1).gt(0).sum())
    return Step(
        seconds=_seconds(step, steps, device),
        flops=counter.get_total_flops(),
        tokens=batch["input_ids"].numel(),
        questions=answers,
        bytes_moved=2 * weights,
        peak_flops=peak_flops,
        bandwidth=bandwidth(device),
    )


def bandwidth(device: torch.device) -> float:
    """Return how many bytes per second a copy reads and writes."""
    source = torch.zeros(2**28 if device.type == "cuda" else 2**22, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / _seconds(lambda: target.copy_(source), 10, device)


def _seconds(run: Callable[[], object], times: int, device: torch.device) -> float:
    """Return seconds per call, after three calls that are not counted."""
    gpu = device.type == "cuda"
    for _ in range(3):
        run()
    if gpu:
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(times):
        run()
    if gpu:
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / times


def known_peak(name: str) -> float | None:
    """Return the dense bf16 peak of a GPU in flop/s by its own name; None if it is not known."""
    compact = name.replace(" ", "")
    fits = [v for gpu, v in gpu_table()["bf16_tflops"].items() if gpu.split("-")[0] in compact]
    return float(fits[0]) * 1e12 if fits else None


def gpu_row(peak_tflops: float | None = None, given: Batch | None = None) -> Row:
    """Measure the step if a GPU is at hand; otherwise return a row that says why not."""
    if not torch.cuda.is_available():
        return ROW.missing("no GPU here; python -m benchmarks.gpu_step measures it")
    name = torch.cuda.get_device_name()
    peak = peak_tflops * 1e12 if peak_tflops else known_peak(name)
    if peak is None:
        return ROW.missing(f"the peak of {name} is not known; give it by --peak")
    model = build(compose("paper", ["data.root=."]), "cuda")
    step = measure(model, batch_of(model, given or Batch(), "cuda"), peak)
    return ROW.once(step.share, step.questions, f"{name}: {step.told()}")


def main() -> None:
    """Print the row."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_step", description=main.__doc__)
    parser.add_argument("--peak", type=float, help="dense bf16 peak, Tflop/s, of a GPU not known")
    parser.add_argument("--rows", type=int, default=Batch.rows, help="packed rows per step")
    options = parser.parse_args()
    row = gpu_row(options.peak, Batch(rows=options.rows))
    print(f"{row.what}: {row.note}")


if __name__ == "__main__":
    main()

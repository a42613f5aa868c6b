"""`debiased-ecg plan`: what a profile costs, before it is run."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Mapping
from typing import Any

HELP = "estimate what a profile costs: memory, time, disk"
DESCRIPTION = """Estimate what a profile's training runs cost: parameters, operations, memory with
and without gradient checkpointing, hours on a GPU, disk. Models are built without weights
(PyTorch's meta device): nothing is downloaded or trained."""
EPILOG = """examples:
  debiased-ecg plan paper --gpu H100 --gpus 4
  debiased-ecg plan paper encoder.patch=5 stage1.batch_size=16 --gpu RTX4090 --json"""
_GIVEN = (
    ("--gpu", str, "NAME", "A100-40, A100-80, A800-80 (default, the paper's), H100, RTX4090"),
    ("--gpus", int, "N", "number of GPUs, each with its share of a batch (default 1)"),
    ("--mfu", float, "SHARE", "share of the GPU's peak that training reaches (default 0.35)"),
    ("--words", int, "N", "text tokens of a question with its answer (default 56)"),
    ("--answer", int, "N", "tokens of the answer, part of --words (default 8)"),
    ("--ecgs", int, "N", "number of ECG-report pairs (default: the whole data set)"),
    ("--stage1-rows", int, "N", "rows of stage 1 (default: max_rows, or all of ECG-QA's)"),
    ("--stage2-rows", int, "N", "rows of stage 2 (default: max_rows, or all of ECG-QA's)"),
)


def add_to(verb: argparse.ArgumentParser) -> None:
    """Add the verb's options to its parser."""
    verb.add_argument("profile", metavar="PROFILE", help="a file of conf/profile, e.g. paper")
    verb.add_argument("overrides", metavar="KEY=VALUE", nargs="*", help="changes to the profile")
    for option, kind, name, told in _GIVEN:
        verb.add_argument(option, type=kind, metavar=name, help=told)
    verb.add_argument("--json", action="store_true", help="print one JSON object")
    verb.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Compute the plan and print it."""
    from ecg_lib.config import compose
    from ecg_lib.errors import ConfigError, EcgLibError
    from ecg_lib.planning.plan import Assumptions, plan

    names = [option.removeprefix("--").replace("-", "_") for option, *_ in _GIVEN]
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    # A plan reads no data, so any folder satisfies a profile that requires one.
    config = compose(options.profile, ["data.root=.", *options.overrides])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # libraries warn about their own internals
        try:
            told = plan(config, Assumptions(**given))
        except EcgLibError:
            raise
        except (ValueError, TypeError, ArithmeticError, RuntimeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ConfigError(
                f"profile {options.profile}: its models cannot be built ({reason}); change the "
                "sizes in encoder, text_encoder, llm or lora"
            ) from error
    print(json.dumps(told) if options.json else text(told))


def text(told: Mapping[str, Any]) -> str:
    """Format the plan as text."""
    given, gpu = told["assumptions"], told["gpu"]
    lines = [
        f"{told['profile']}: {told['language_model']} on {given['gpus']} x {gpu['name']} "
        f"({gpu['memory_gb']} GB, {gpu['bf16_tflops']} Tflop/s bf16; {gpu['source']}), "
        f"{given['mfu']:.0%} of the peak",
        "",
    ]
    for name, cost in told["trainings"].items():
        lines += [
            f"{name}: {cost['rows']:,} rows x {cost['epochs']:g} epochs, "
            f"batch {cost['batch_size']}",
            f"  parameters  {cost['parameters']:,}, {cost['trainable']:,} trained",
            f"  operations  {_flops(cost['forward_flops'])} forward, "
            f"{_flops(cost['step_flops'])} with backward"
            + _also("{}, checkpointed", cost["checkpointed_flops"], _flops),
            f"  memory      {_gb(cost['state_gb'])} weights, gradients, optimiser; "
            f"activations {_gb(cost['activation_gb'])}"
            + _also("{} checkpointed", cost.get("checkpointed_gb"), _gb),
            f"              {_gb(cost['memory_gb'])} as configured ("
            f"{'with' if cost['checkpointing'] else 'without'} checkpointing): "
            + ("fits" if cost["fits"] else "DOES NOT FIT"),
            f"  time        {_time(cost['hours'])}",
        ]
    lines += [f"encoding one ECG: {_flops(told['encode_flops'])}, done once", "", "disk"]
    lines += [f"  {name:42} {_gb(size):>10}" for name, size in told["disk_gb"].items()]
    return "\n".join([*lines, "", *(f"note: {note}" for note in told["notes"])])


def _also(words: str, value: float | None, show) -> str:
    return "" if value is None else ", " + words.format(show(value))


def _flops(number: float) -> str:
    return f"{number / 1e12:.2f} Tflop" if number >= 1e11 else f"{number / 1e9:.2f} Gflop"


def _gb(number: float) -> str:
    return f"{number:.1f} GB" if number >= 0.1 else f"{1000 * number:.1f} MB"


def _time(hours: float) -> str:
    if hours < 0.1:
        return f"{3600 * hours:.1f} s"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"

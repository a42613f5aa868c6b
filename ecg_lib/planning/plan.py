"""Plan of a profile's training time, memory and disk space, before anything is downloaded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ecg_lib.data.prepare import SIMULATED, build_source
from ecg_lib.ecg_llm.projector import Projector
from ecg_lib.errors import ConfigError
from ecg_lib.planning.cost import Cost, clip_cost, encode_flops, stage_cost
from ecg_lib.planning.shapes import clip_shape, ecg_llm_shape, encoder_shape
from ecg_lib.questions.ecgqa_rows import EXPECTED_COUNTS

if TYPE_CHECKING:
    from ecg_lib.config import Cohort, Config

ECGS = {"mimic_iv_ecg": 800_035, "ptbxl": 21_799}  # records per complete release
RATES = {"mimic_iv_ecg": (500,), "ptbxl": (100, 500)}  # Hz, sampling rates of the released files
HEADER = 900  # bytes per WFDB header, approximately
ROW = 300  # bytes per ECG in records.parquet, approximately
QUESTION = 462  # bytes per ECG-QA row as JSON, measured on 17,539 rows of its shards
ECGQA = EXPECTED_COUNTS["ptbxl"]
COMPARISONS = 0.4  # share of ECG-QA's training rows with two ECGs: 108,233 of 267,539
GB = 1e9
_MOST = 10**9  # greatest assumption: more than there are ECGs, or words of a question


@dataclass(frozen=True)
class Assumptions:
    """Assumptions of a plan; the command line can set each of them."""

    gpu: str = "A800-80"
    gpus: int = 1
    mfu: float = 0.35  # share of the GPU's peak that training reaches
    words: int = 56  # text tokens per question row, including the answer
    answer: int = 8  # tokens per answer
    ecgs: int | None = None  # ECG-report pairs for pretraining
    stage1_rows: int | None = None
    stage2_rows: int | None = None


@cache
def gpu_table() -> pd.DataFrame:
    """Return the known GPUs: columns `memory_gb`, `bf16_tflops` (dense, peak), `source`."""
    return pd.read_csv(Path(__file__).resolve().with_name("gpus.csv")).set_index("name")


def plan(config: Config, given: Assumptions) -> dict[str, Any]:
    """Plan a profile's training runs: parameters, operations, memory, time and disk space.

    Raises
    ------
    ConfigError
        The GPU is unknown, or an assumption has an impossible value.
    """
    _check(given)
    gpu = gpu_table().loc[given.gpu]
    pairs = given.ecgs or _size(config.data.pretraining)
    encoder = encoder_shape(config)
    taught, trainings = config.objective, {}
    if {"width", "epochs"} <= taught.keys():  # only contrastive objectives have both
        cost = clip_cost(clip_shape(config), config.text_encoder.max_tokens, taught["bf16"])
        sizes = pairs, taught["epochs"], taught["batch_size"]
        trainings["contrastive"] = _training(cost, *sizes, False, given)
    slots = 0
    if config.arms:
        slots = round(Projector.slots(encoder.config.tokens) * (1 + COMPARISONS))
        llm = stage_cost(ecg_llm_shape(config), slots, given.words, given.answer)
    for name in ("stage1", "stage2") if config.arms else ():
        stage = getattr(config, name)
        rows = getattr(given, f"{name}_rows") or stage.max_rows or ECGQA["train"]
        sizes = rows, stage.epochs, stage.batch_size
        trainings[name] = _training(llm, *sizes, config.llm.gradient_checkpointing, given)
    notes = [
        "time counts arithmetic only, at the share of the peak that --mfu assumes; it excludes "
        "reading data, evaluation and the LLM's own pretraining",
    ]
    if config.arms:
        notes.append(
            f"one row has {slots} ECG slots (ECG-QA's mean over one and two ECGs) and "
            f"{given.words} text tokens; activations assume plain attention, with a GPU's whole "
            "batch at once"
        )
    if "contrastive" not in trainings:
        notes.append(f"objective {taught['name']} trains on no ECG-report pairs; not planned")
    if config.llm.dtype == "float32":
        notes.append(
            "this profile computes in float32, which is slower than the bf16 peak assumed here"
        )
    if config.arms and not (given.stage1_rows or config.stage1.max_rows):
        notes.append(
            "stage 1 counts every training row, an upper bound; give --stage1-rows once "
            "notebook 03 has counted the pairs"
        )
    named = config.llm.name_or_path or config.llm.title
    return {
        "profile": config.profile,
        "gpu": {"name": given.gpu, **gpu.to_dict()},
        "assumptions": asdict(given) | {"slots": slots},
        "language_model": named if config.arms else "no LLM",
        "trainings": trainings,
        "disk_gb": disk(config, pairs),
        "encode_flops": encode_flops(encoder),
        "notes": notes,
    }


def disk(config: Config, pretraining_ecgs: int) -> dict[str, float]:
    """Return the gigabytes (1e9 bytes) of raw files, prepared stores, cached tokens and ECG-QA."""
    sizes = {config.data.pretraining.title: (config.data.pretraining, pretraining_ecgs)}
    questions = config.data.questions
    if questions.title not in sizes:
        sizes[questions.title] = (questions, _size(questions))
    encoder = encoder_shape(config).config
    used: dict[str, float] = {}
    for title, (cohort, n) in sizes.items():
        for rate in RATES.get(cohort.source, ()):
            used[f"{title}, raw at {rate} Hz"] = n * (raw_bytes(rate) + HEADER) / GB
        used[f"{title}, prepared store"] = n * (raw_bytes(encoder.ecg_input.rate) + ROW) / GB
    tokens = (encoder.tokens + 1) * encoder.width * 2  # half precision, with the [CLS] token
    used[f"{questions.title}, encoder tokens"] = sizes[questions.title][1] * tokens / GB
    if config.questions.ecgqa:
        used[f"ECG-QA, {sum(ECGQA.values()):,} rows"] = sum(ECGQA.values()) * QUESTION / GB
    return used


def raw_bytes(rate: int) -> int:
    """Return the bytes of 12 leads of 10 s in int16, at a rate in Hz."""
    return 12 * 10 * rate * 2


def _size(cohort: Cohort) -> int:
    """Count the ECGs of a cohort: known for a release, generated for a simulated cohort."""
    if cohort.source == SIMULATED:
        return len(build_source(SIMULATED, None, patients=cohort.patients).index())
    if cohort.source not in ECGS:
        raise ConfigError(
            f"{cohort.title}: the number of ECGs in {cohort.source} is not known; give --ecgs"
        )
    return ECGS[cohort.source]


def _training(
    cost: Cost,
    rows: int,
    epochs: float,
    batch: int,
    checkpointing: bool,
    given: Assumptions,
) -> dict[str, Any]:
    """Return the numbers of one training run; memory in GB per GPU, with its share of a batch."""
    gpu, here = gpu_table().loc[given.gpu], -(-batch // given.gpus)
    speed = gpu["bf16_tflops"] * 1e12 * given.mfu * given.gpus
    flops, held = cost.step_flops, cost.activation_bytes
    if checkpointing:
        again, within = cost.checkpointed_flops, cost.checkpointed_bytes
        assert again is not None and within is not None  # `stage_cost` counts both
        flops, held = again, within
    total = (cost.state_bytes + here * held) / GB
    told = asdict(cost) | {
        "rows": rows,
        "epochs": epochs,
        "batch_size": batch,
        "checkpointing": checkpointing,
        "state_gb": cost.state_bytes / GB,
        "activation_gb": here * cost.activation_bytes / GB,
        "memory_gb": total,
        "fits": bool(total < gpu["memory_gb"]),
        "hours": flops * rows * epochs / speed / 3600,
    }
    if cost.checkpointed_bytes is not None:
        told["checkpointed_gb"] = here * cost.checkpointed_bytes / GB
    return told


def _check(given: Assumptions) -> None:
    if given.gpu not in gpu_table().index:
        raise ConfigError(
            f"--gpu {given.gpu}: not in the table; choose one of {', '.join(gpu_table().index)}"
        )
    if not 0 < given.mfu <= 1:
        raise ConfigError(f"--mfu is {given.mfu}; give a share of the peak, above 0 and up to 1")
    for name in ("gpus", "words", "answer", "ecgs", "stage1_rows", "stage2_rows"):
        value = getattr(given, name)
        if value is not None and not 1 <= value <= _MOST:
            raise ConfigError(f"--{name.replace('_', '-')} is {value}; give 1 to {_MOST:,}")
    if given.answer > given.words:
        raise ConfigError(
            f"--answer is {given.answer} but --words is only {given.words}, answer included; "
            "give a larger --words"
        )

"""How cost grows with ECGs, questions, leads and time, three sizes each."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

import torch

from benchmarks.memory import peak_of_preparing
from benchmarks.plain_attention import forward_backward
from benchmarks.timing import cpu_seconds
from benchmarks.workload import Workload
from ecg_lib import encoders
from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.write_store import write_store
from ecg_lib.ecg_llm.answering import score_yes
from ecg_lib.ecg_llm.finetune import train_stage
from ecg_lib.encoders.base import EcgInput
from ecg_lib.encoders.token_cache import encode_store
from ecg_lib.signal.leads import LEADS

ECGS = "ECGs"
QUESTIONS = "questions"
SIGNAL = "seconds of ECG"


@dataclass(frozen=True)
class Point:
    """A line of growth.csv: the cost of one piece of work at one size."""

    what: str
    grows_with: str
    size: float
    unit: str  # of the cost: "s" of CPU, or "MB"
    cost: float
    low: float
    high: float
    repeats: int

    def values(self) -> dict:
        """Return the point as it is written."""
        return asdict(self)


def timed(
    what: str, grows_with: str, size: float, run: Callable[[], object], repeats: int
) -> Point:
    """Measure some work, run once before anything is counted."""
    run()
    each = [cpu_seconds(run) for _ in range(repeats)]
    return Point(
        what, grows_with, size, "s", statistics.median(each), min(each), max(each), repeats
    )


def with_ecgs(work: Workload, repeats: int) -> Iterator[Point]:
    """Simulate and prepare cohorts, and encode them."""
    place = work.folder / "growth"
    for part in (4, 2, 1):
        cohort = SimulatedCohort(max(1, work.patients // part), seed=4)

        def prepare(cohort=cohort) -> None:
            write_store(place / "store", cohort)

        yield timed("simulate and prepare", ECGS, len(cohort), prepare, repeats)
        store = write_store(place / "store", cohort)

        def encode(store=store) -> None:
            shutil.rmtree(place / "tokens", ignore_errors=True)
            encode_store(store, work.encoder, place / "tokens")

        yield timed("encode", ECGS, len(cohort), encode, repeats)
    shutil.rmtree(place)


def with_questions(work: Workload, repeats: int) -> Iterator[Point]:
    """Train one pass on questions, and answer yes/no questions."""
    model, processor = work.model_and_processor
    stage = replace(work.config.stage1, epochs=1, max_rows=None)
    for n in (300, 600, 1200):
        rows, closed = work.some(n), work.some(n, "verify")

        def train(rows=rows) -> None:
            folder = work.folder / "growth"
            train_stage(*work.fresh_model(), rows, work.tokens, stage, folder, seed=0)

        def answer(rows=closed) -> None:
            asked = rows["question"].tolist(), [list(e) for e in rows["ecg_id"]]
            score_yes(model, processor, *asked, work.tokens)

        yield timed("train, one pass", QUESTIONS, len(rows), train, repeats)
        yield timed("answer yes/no", QUESTIONS, len(closed), answer, repeats)


def with_signal(work: Workload, repeats: int) -> Iterator[Point]:
    """Compute output and gradients of the encoder for ECGs of more leads and longer time."""
    settings, batch = work.config.encoder, 16
    for leads in (3, 6, 12):
        for long in (5, 10, 20):
            reads = EcgInput(seconds=long, leads=LEADS[:leads])
            encoder = encoders.build(settings["name"], settings, reads).train()
            ecg = torch.randn(batch, *reads.shape)

            def run(encoder=encoder, ecg=ecg) -> None:
                forward_backward(encoder, ecg)

            what = f"encoder forward and backward, {batch} ECGs, {leads} leads"
            yield timed(what, SIGNAL, long, run, repeats)


def memory(work: Workload, repeats: int) -> Iterator[Point]:
    """Prepare cohorts of cheap records."""
    for records in (1_000, 10_000, 100_000):
        peaks = [peak_of_preparing(records)[1] for _ in range(2)]
        at = statistics.median(peaks)
        yield Point("memory of preparing", ECGS, records, "MB", at, min(peaks), max(peaks), 2)


PARTS = (with_ecgs, with_questions, with_signal, memory)

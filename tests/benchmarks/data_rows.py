"""Rows about data: reading, preparing and simulating ECGs, and importing the code for it."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterator, Sequence

from benchmarks import plain_signal
from benchmarks.imports import import_seconds
from benchmarks.row import Row, done
from benchmarks.timing import Side, cpu_seconds, in_turn
from benchmarks.workload import Workload
from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.write_store import write_store


def one_ecg(work: Workload, repeats: int) -> Iterator[Row]:
    """Bring one ECG to the encoder's input."""
    row = Row("one ECG to the encoder's input", "wfdb, scipy resample, scaling per access", 100)
    prepare, store = work.encoder.config.ecg_input.prepare, work.store
    files = work.files

    def fast() -> None:
        for k in range(len(store)):
            prepare(store.mv(k))

    def plain() -> None:
        for stem in files:
            plain_signal.model_input(stem)

    found = in_turn(Side(fast, len(store)), Side(plain, len(files)), repeats)
    yield row.measured(found, len(store))


def preparing(work: Workload, repeats: int) -> Iterator[Row]:
    """Prepare a cohort from files, and a simulated one."""
    place, files = work.folder / "preparing", work.files
    row = Row("preparing recorded ECGs (WFDB, 500 Hz)", "one by one, a file per ECG", 3)
    fast = Side(lambda: done(write_store(place / "fast", plain_signal.Files(files))), len(files))
    plain = Side(lambda: plain_signal.prepare_one_by_one(files, place / "plain"), len(files))
    yield row.measured(in_turn(fast, plain, repeats), len(files))

    row = Row("preparing simulated ECGs", "one by one, a file per ECG", 3)
    many, few = (SimulatedCohort(n, seed=2) for n in (work.patients, max(1, work.patients // 4)))

    def one_by_one() -> None:
        plain_signal.prepare_drawn(map(few.read, few.index()), place / "drawn plain")

    fast = Side(lambda: done(write_store(place / "drawn", many)), len(many))
    found = in_turn(fast, Side(one_by_one, len(few)), repeats)
    yield row.measured(found, len(many))
    shutil.rmtree(place)


def simulating(work: Workload, repeats: int) -> Iterator[Row]:
    """Draw and render ECGs."""
    cohort = SimulatedCohort(work.patients, seed=3)
    each = [cpu_seconds(lambda: [*cohort.batches()]) / len(cohort) for _ in range(1 + repeats)]
    del each[0]  # a warm-up
    rate = 1 / statistics.median(each)
    yield Row(
        "simulating ECGs", "-", 1000, "ECGs/s", rate, 1 / max(each), 1 / min(each), len(cohort),
        repeats, rate,
    )  # fmt: skip


def importing(work: Workload, repeats: int) -> Iterator[Row]:
    """Import what students of signals and questions need, in a fresh process."""
    each = [import_seconds() for _ in range(repeats)]
    rates = [1 / one for one in each]
    yield Row(
        "importing signal, data, questions", "1 s", 1, "times", statistics.median(rates),
        min(rates), max(rates), 1, repeats,
    )  # fmt: skip


def memory_row(points: Sequence[dict]) -> Row:
    """Return how little more memory the largest cohort of `growth.memory` takes than the smallest.

    Aim: a hundred times as many ECGs in at most one and a half times the memory.
    """
    few, *_, many = [point for point in points if point["unit"] == "MB"]
    ratios = [few["cost"] / many[name] for name in ("cost", "high", "low")]
    return Row(
        f"memory of preparing {many['size']:,} ECGs", f"memory of preparing {few['size']:,}", 0.67,
        "times", *ratios, many["size"], many["repeats"],
    )  # fmt: skip

"""Measure two ways of doing the same in turn, so that a loaded machine slows both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

Timed = Callable[[], float | None]  # does the work; may return its own CPU seconds


@dataclass(frozen=True)
class Side:
    """One way of doing the work: `run` does it for `n` ECGs or questions."""

    run: Timed
    n: int


@dataclass(frozen=True)
class Measured:
    """CPU seconds per ECG or question of both ways, one pair per repeat."""

    fast: list[float]
    plain: list[float]

    @property
    def ratio(self) -> float:
        """Median of the plain way over median of the fast way."""
        return statistics.median(self.plain) / statistics.median(self.fast)

    @property
    def spread(self) -> tuple[float, float]:
        """Smallest and largest ratio of a pair."""
        ratios = [plain / fast for plain, fast in zip(self.plain, self.fast, strict=True)]
        return min(ratios), max(ratios)


def cpu_seconds(run: Callable[[], object]) -> float:
    """Return the CPU seconds of some work.

    The time of this process is counted, not time on the clock: other processes on the core do not
    add to it. Each process here computes in one thread.
    """
    start = time.process_time()
    run()
    return time.process_time() - start


def seconds(side: Side) -> float:
    """Return CPU seconds per unit."""
    own: list[float | None] = []
    whole = cpu_seconds(lambda: own.append(side.run()))
    return (whole if own[0] is None else own[0]) / side.n


def in_turn(fast: Side, plain: Side, repeats: int, warm_up: bool = True) -> Measured:
    """Run both ways in turn (plain, fast, plain, fast, ...), once before anything is counted."""
    if warm_up:
        seconds(plain), seconds(fast)
    pairs = [(seconds(plain), seconds(fast)) for _ in range(repeats)]
    return Measured([fast for _, fast in pairs], [plain for plain, _ in pairs])

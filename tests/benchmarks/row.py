"""A row of the table of speed: what is compared with what, and by how much it should be faster."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, replace

from benchmarks.timing import Measured


@dataclass(frozen=True)
class Row:
    """A line of ratios.csv; a row that could not be measured has no ratio and says why."""

    what: str
    reference: str
    at_least: float
    unit: str = "times"
    ratio: float | None = None
    low: float | None = None  # of the ratios of single repeats
    high: float | None = None
    n: int = 0  # ECGs or questions per repeat of the fast way
    repeats: int = 0
    fast_per_s: float | None = None  # ECGs or questions per second and core
    plain_per_s: float | None = None
    note: str = ""

    def measured(self, found: Measured, n: int) -> Row:
        """Return the row with its numbers."""
        low, high = found.spread
        rates = [1 / statistics.median(side) for side in (found.fast, found.plain)]
        return replace(
            self, ratio=found.ratio, low=low, high=high, n=n, repeats=len(found.fast),
            fast_per_s=rates[0], plain_per_s=rates[1],
        )  # fmt: skip

    def once(self, ratio: float, n: int, note: str) -> Row:
        """Return the row with a number that was measured once."""
        return replace(self, ratio=ratio, low=ratio, high=ratio, n=n, repeats=1, note=note)

    def missing(self, reason: str) -> Row:
        """Return the row without a number."""
        return replace(self, note=f"not measured: {reason}")

    def values(self) -> dict:
        """Return the row as it is written."""
        return asdict(self)


def done(_) -> None:
    """Return nothing, so that the result is not taken for seconds."""

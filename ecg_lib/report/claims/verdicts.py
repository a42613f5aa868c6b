"""Rules that decide from numbers and intervals whether a claim holds, the same for every profile.

"does not hold" means that our numbers do not show the claim; the reason says whether they show the
opposite. A wide interval neither supports a claim nor refutes it: if it has room both for no
difference and for one of more than `MARGIN` points as claimed, the claim cannot be tested here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

HOLDS, FAILS, UNTESTABLE = "holds", "does not hold", "not testable here"
MIN_N = 30  # an interval from fewer questions is not trusted
MARGIN = 5.0  # percentage points; a smaller difference counts as none


@dataclass(frozen=True)
class Number:
    """A value with its 95 % interval, in percent or percentage points, and the cell it is from."""

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan
    n: float = math.nan
    table: str = ""
    row: str = ""
    column: str = ""
    least: int = MIN_N  # smallest n (questions, or what n counts) for a trusted interval

    @property
    def usable(self) -> bool:
        """Whether the number has a value, an interval and enough questions behind it."""
        known = not any(map(math.isnan, (self.value, self.low, self.high)))
        return known and not self.n < self.least


@dataclass(frozen=True)
class Verdict:
    """One of the three verdicts, and the reason in one sentence."""

    verdict: str
    why: str


Rule = Callable[[Sequence[Number]], Verdict]


def minus(a: Number, b: Number, name: str = "") -> Number:
    """Subtract b from a, measured independently; the interval is by variance recovery (MOVER).

    For numbers measured on the same ECGs, the interval is wider than necessary; it is not too
    narrow as long as the two are positively correlated.
    """
    value = a.value - b.value
    down = math.hypot(a.value - a.low, b.high - b.value)
    up = math.hypot(a.high - a.value, b.value - b.low)
    table, row = a.table, f"{a.row} - {b.row}" if a.row != b.row else a.row
    column = f"{a.column} - {b.column}" if a.column != b.column else a.column
    return Number(
        name or f"{a.name} - {b.name}",
        value,
        value - down,
        value + up,
        min(a.n, b.n),
        table,
        row,
        column,
        min(a.least, b.least),
    )


def above_zero(numbers: Sequence[Number]) -> Verdict:
    """Accept the claim only if every interval lies above zero."""
    return _all(numbers, "above", 1)


def below_zero(numbers: Sequence[Number]) -> Verdict:
    """Accept the claim only if every interval lies below zero."""
    return _all(numbers, "below", -1)


def most_above_zero(numbers: Sequence[Number]) -> Verdict:
    """Accept the claim only if more than half of the usable intervals lie above zero.

    If half of the numbers or more are not usable, the claim cannot be tested.
    """
    usable = [n for n in numbers if n.usable]
    if 2 * len(usable) <= len(numbers):
        told = f"only {len(usable)} of {len(numbers)} numbers come from enough questions"
        return Verdict(UNTESTABLE, told)
    above, below = sum(n.low > 0 for n in usable), sum(n.high < 0 for n in usable)
    why = f"intervals above zero: {above} of {len(usable)}; below: {below}"
    return Verdict(HOLDS if 2 * above > len(usable) else FAILS, why)


def near_zero(numbers: Sequence[Number]) -> Verdict:
    """Accept the claim only if every interval lies within `MARGIN` points of zero."""
    if not numbers or not all(n.usable for n in numbers):
        return Verdict(UNTESTABLE, _TOO_FEW)
    if all(-MARGIN < n.low and n.high < MARGIN for n in numbers):
        return Verdict(HOLDS, f"the interval lies within {MARGIN:.0f} points of zero")
    if any(n.low > MARGIN or n.high < -MARGIN for n in numbers):
        return Verdict(FAILS, f"the interval lies more than {MARGIN:.0f} points from zero")
    if any(n.low > 0 or n.high < 0 for n in numbers):
        return Verdict(FAILS, f"the interval excludes zero and reaches beyond {MARGIN:.0f} points")
    return Verdict(UNTESTABLE, _TOO_WIDE)


def contains(numbers: Sequence[Number], published: Sequence[Number]) -> Verdict:
    """Accept the claim only if every published value lies in our interval for its column."""
    values = {p.column: p.value for p in published}
    pairs = [(n, values[n.column]) for n in numbers if n.usable and n.column in values]
    if not pairs:
        return Verdict(UNTESTABLE, _TOO_FEW)
    inside = sum(n.low <= value <= n.high for n, value in pairs)
    why = f"{inside} of the {len(pairs)} published values lie in our intervals"
    return Verdict(HOLDS if inside == len(pairs) else FAILS, why)


_TOO_FEW = "no number with an interval from enough questions"
_TOO_WIDE = f"the interval is too wide: it has room for zero and for more than {MARGIN:.0f} points"


def _all(numbers: Sequence[Number], side: str, sign: int) -> Verdict:
    """Accept the claim only if every interval lies on the given side of zero."""
    if not numbers or not all(n.usable for n in numbers):
        return Verdict(UNTESTABLE, _TOO_FEW)
    wanted = [n.low > 0 if sign > 0 else n.high < 0 for n in numbers]
    other = [n.high < 0 if sign > 0 else n.low > 0 for n in numbers]
    if all(wanted):
        return Verdict(HOLDS, f"the interval lies {side} zero")
    if any(other):
        return Verdict(FAILS, "the interval lies on the other side of zero: the opposite is seen")
    unsure = [n for n, shown in zip(numbers, wanted, strict=True) if not shown]
    if all((n.high if sign > 0 else -n.low) > MARGIN for n in unsure):
        return Verdict(UNTESTABLE, _TOO_WIDE)
    return Verdict(FAILS, "the interval includes zero: no difference is shown")

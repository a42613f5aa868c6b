"""Tell values that no heart or patient can have from measurements, by `value_limits.csv`.

The table holds for all cohorts. A value outside its limits is absent, as is the machine's own mark
for "not measured". The limits are wide: they are to catch impossible values, not abnormal ones.
Only the intervals that ECG-QA's own definitions give are exempt, see `data.sources.ptbxl`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from ecg_lib.errors import DataError
from ecg_lib.knowledge.findings import read_table


@cache
def value_limits() -> Mapping[str, tuple[float, float]]:
    """Read the limits of each quantity, in the unit that the table names.

    Returns
    -------
    mapping of str to (float, float)
        Quantity -> least and greatest possible value.

    Raises
    ------
    DataError
        A quantity occurs twice, has no source, or its limits are not two rising numbers.
    """
    table = read_table("value_limits.csv", ["quantity", "unit", "low", "high", "source"])
    limits: dict[str, tuple[float, float]] = {}
    for row in table.itertuples():
        where = f"value_limits.csv: {row.quantity}"
        if row.quantity in limits:
            raise DataError(f"{where} occurs twice; keep one row")
        if not row.source.strip():
            raise DataError(f"{where} has no source; say where the limits come from")
        low, high = number(row.low), number(row.high)
        if not low < high:
            raise DataError(
                f"{where}: limits are {row.low!r} and {row.high!r}; give two rising numbers"
            )
        limits[row.quantity] = (low, high)
    return limits


def number(cell: Any) -> float:
    """Return a cell of a table as a number, and NaN if it is empty or holds anything else."""
    text = str(cell).strip()
    if "_" in text or not text.isascii():  # Python reads "1_0" as 10
        return math.nan
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def possible(quantity: str, cell: Any) -> float:
    """Return a cell as a number, and NaN if it is none or one that the quantity cannot have.

    Parameters
    ----------
    quantity : str
        A row of value_limits.csv.
    cell : Any
        Number or text, in the unit of that row.
    """
    low, high = value_limits()[quantity]
    value = number(cell)
    return value if low <= value <= high else math.nan

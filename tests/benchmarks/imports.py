"""Import three rooms of the library in a fresh process, without torch."""

from __future__ import annotations

from benchmarks.children import python

MODULES = (
    "ecg_lib.signal.resample",
    "ecg_lib.signal.normalise",
    "ecg_lib.signal.quality",
    "ecg_lib.data.store",
    "ecg_lib.questions.build",
)
HEAVY = {"pandas", "torch", "transformers"}
_CODE = """
import sys, time
start = time.process_time()
import {modules}
print(time.process_time() - start, *{heavy} & set(sys.modules))
"""


def imported() -> tuple[float, set[str]]:
    """Return CPU seconds of the import and which of the `HEAVY` packages it brought along."""
    code = _CODE.format(modules=", ".join(MODULES), heavy=HEAVY)
    seconds, *brought = python("-c", code).split()
    return float(seconds), set(brought)


def import_seconds() -> float:
    """Return CPU seconds of the import."""
    return imported()[0]

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
_CODE = """
import sys, time
start = time.process_time()
import {modules}
print(time.process_time() - start, "torch" in sys.modules)
"""


def imported(modules: tuple[str, ...] = MODULES) -> tuple[float, bool]:
    """Return CPU seconds of the import and whether it brought torch along."""
    code = _CODE.format(modules=", ".join(modules))
    seconds, torch = python("-c", code).split()
    return float(seconds), torch == "True"


def import_seconds() -> float:
    """Return CPU seconds of the import."""
    return imported()[0]

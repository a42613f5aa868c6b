"""Memory of preparing a cohort of any size, in a process of its own with cheap records."""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

from benchmarks.children import python
from ecg_lib.data.record import EcgRecord

SAMPLES = 50  # per lead: a hundred thousand records then take 120 MB of disk, not 2.4 GB


class Cheap:
    """A source of records that cost nothing to read: one signal, another id each."""

    name, version = "cheap", "1"

    def __init__(self, records: int):
        self.records = records
        self.signal = np.ones((12, SAMPLES), np.float32)

    def index(self) -> range:
        return range(self.records)

    def item_name(self, item: int) -> str:
        return f"cheap/{item:06d}"

    def read(self, item: int) -> EcgRecord:
        return EcgRecord(self.item_name(item), f"patient-{item:06d}", self.signal)


def resident_mb() -> float:
    """Return the memory that this process holds for itself, in MB.

    Pages of the memory map that is being written are not counted: the system takes them back
    whenever it likes.
    """
    told = Path("/proc/self/status").read_text()
    lines = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
    return int(lines["RssAnon"].split()[0]) / 1024


class Peak:
    """The largest memory within a block, looked at every 5 ms."""

    def __enter__(self) -> Peak:
        self.mb, self.over = resident_mb(), threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while not self.over.wait(0.005):
            self.mb = max(self.mb, resident_mb())

    def __exit__(self, *_) -> None:
        self.over.set()
        self.thread.join()


def peak_of_preparing(records: int) -> tuple[float, float]:
    """Prepare so many records in a fresh process; return its memory before and at its peak, MB."""
    before, peak = python("-m", "benchmarks.memory", str(records)).split()
    return float(before), float(peak)


def main(records: int) -> None:
    """Print the memory before and at the peak of preparing so many records."""
    from ecg_lib.data.write_store import write_store

    with tempfile.TemporaryDirectory() as folder:
        write_store(Path(folder) / "first", Cheap(10))  # what is imported or cached on first use
        before = resident_mb()
        with Peak() as peak:
            write_store(Path(folder) / "store", Cheap(records))
    print(before, peak.mb)


if __name__ == "__main__":
    main(int(sys.argv[1]))

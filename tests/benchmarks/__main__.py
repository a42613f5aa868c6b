"""`make bench`: measure, write results/benchmarks and figures/benchmarks, say what falls short."""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch

from benchmarks import data_rows, model_rows
from benchmarks.gpu_step import gpu_row
from benchmarks.growth import PARTS
from benchmarks.plots import growth_figure, ratio_figure
from benchmarks.row import Row
from benchmarks.workload import Workload, quiet
from ecg_lib.files import write_atomically
from ecg_lib.paths import ROOT
from ecg_lib.report import style
from ecg_lib.report.speed_table import markdown, read_ratios, short_of_aim

NAME = "benchmarks"
ROWS = (
    data_rows.one_ecg,
    data_rows.preparing,
    data_rows.simulating,
    data_rows.importing,
    model_rows.training,
    model_rows.old_training,
    model_rows.answering,
    model_rows.zero_shot,
    model_rows.encoding,
)


def main() -> None:
    """Measure all rows and print them as they are done."""
    parser = argparse.ArgumentParser(prog="make bench", description=main.__doc__)
    parser.add_argument("--profile", default="demo", help="sizes of the models (default: demo)")
    parser.add_argument("--patients", type=int, default=250, help="of the cohort (default: 250)")
    parser.add_argument("--repeats", type=int, default=3, help="of each pair (default: 3)")
    parser.add_argument("--out", type=Path, default=ROOT, help="where results/ and figures/ lie")
    given = parser.parse_args()
    start, load = time.monotonic(), [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as folder:
        work = Workload.of(Path(folder), given.profile, given.patients)
        rows, points = measure(work, given.repeats)
        asked = density(work.questions)
    machine = {
        "profile": given.profile,
        **asked,
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load": [*load, os.getloadavg()[0]],
        "minutes": round((time.monotonic() - start) / 60, 1),
    }
    frame = write(given.out, rows, points, machine)
    print(f"\n{markdown(frame, machine)}\n")
    for row in short_of_aim(frame).to_dict("records"):
        print(f"falls short: {row['what']}: {row['ratio']:.3g} of at least {row['at_least']:g}")
    for row in frame[frame["ratio"].isna()].to_dict("records"):
        print(f"missing: {row['what']}: {row['note']}")


def measure(work: Workload, repeats: int) -> tuple[list[Row], list[dict]]:
    """Measure everything; print a line per row."""
    rows, points = [], []
    start = time.monotonic()

    def tell(line: str) -> None:
        print(f"[{time.monotonic() - start:4.0f} s] {line}", flush=True)

    with quiet():
        for part in ROWS:
            for row in part(work, repeats):
                rows.append(row)
                tell(f"{row.what}: {row.note or f'{row.ratio:.3g} {row.unit}'}")
        for part in PARTS:
            for point in part(work, repeats):
                points.append(point.values())
                size = f"{point.size:,} {point.grows_with}"
                tell(f"{point.what}, {size}: {point.cost:.3g} {point.unit}")
    rows += [data_rows.memory_row(points), gpu_row()]
    return rows, points


def write(out: Path, rows: list[Row], points: list[dict], machine: dict) -> pd.DataFrame:
    """Write tables and figures; return the ratios as they are read again."""
    folder = out / "results" / NAME
    ratios, growth = pd.DataFrame([row.values() for row in rows]), pd.DataFrame(points)
    for name, frame in {"ratios": ratios, "growth": growth}.items():
        text = frame.to_csv(index=False, float_format="%.4g", lineterminator="\n")
        write_atomically(folder / f"{name}.csv", text)
    write_atomically(folder / "machine.json", json.dumps(machine, indent=1) + "\n")
    ratios = read_ratios(folder / "ratios.csv")
    write_atomically(folder / "ratios.md", f"# Speed\n\n{markdown(ratios, machine)}\n")
    style.save(ratio_figure(ratios), out / "figures" / NAME, "ratios")
    style.save(growth_figure(growth), out / "figures" / NAME, "growth")
    return ratios


def density(questions: pd.DataFrame) -> dict[str, float]:
    """Return questions about one ECG per ECG, and the share of questions about pairs."""
    about = questions["ecg_id"].map(tuple)
    alone = about[about.map(len) == 1]
    return {
        "questions_per_ecg": round(len(alone) / alone.nunique(), 1),
        "share_about_pairs": round(1 - len(alone) / len(about), 2),
    }


def cpu_name() -> str:
    """Return the processor's own name."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()

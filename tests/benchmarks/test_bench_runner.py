"""The benchmark itself: ratios of paired repeats, rows that cannot be measured, no torch."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks import data_rows, model_rows
from benchmarks.__main__ import density, write
from benchmarks.growth import Point
from benchmarks.imports import imported
from benchmarks.memory import peak_of_preparing
from benchmarks.old_code import Missing, OldTraining, unpack
from benchmarks.row import Row
from benchmarks.timing import Measured, Side, in_turn
from benchmarks.workload import Workload
from ecg_lib.errors import DataError
from ecg_lib.report.speed_table import markdown, read_ratios, short_of_aim, speed_block

MACHINE = {"profile": "demo", "cpu": "any", "cores": 2, "python": "3", "torch": "2"}
MACHINE |= {
    "questions_per_ecg": 13.6,
    "share_about_pairs": 0.4,
    "load": [1.04, 2.0],
    "minutes": 6.3,
}


def test_both_ways_run_in_turn_and_the_ratio_is_of_medians_per_unit():
    order, costs = [], {"fast": iter([9, 1, 2, 3]), "plain": iter([9, 40, 80, 60])}

    def run(name):
        order.append(name)
        return float(next(costs[name]))

    found = in_turn(Side(lambda: run("fast"), 2), Side(lambda: run("plain"), 4), repeats=3)
    assert order == ["plain", "fast"] * 4, "once before anything is counted"
    assert found == Measured([0.5, 1.0, 1.5], [10.0, 20.0, 15.0])
    assert found.ratio == 15 and found.spread == (10, 20)


def test_without_the_old_commit_the_row_is_missing_and_says_why(tmp_path):
    with pytest.raises(Missing, match="commit 0000000 is not in this repository"):
        unpack(tmp_path / "code", "0000000")
    work = Workload.of(tmp_path, "smoke", patients=8, per_answer=1)
    rows = list(model_rows.old_training(work, 1, "0000000"))
    assert len(rows) == 2
    assert all(row.ratio is None and "0000000 is not in" in row.note for row in rows)


def test_old_code_that_does_not_run_today_is_missing_and_says_why(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "pandas.py").write_text("raise ImportError('too new')")
    old = OldTraining(tmp_path / "code", {})
    with pytest.raises(Missing, match=r"does not run with today's packages \(ImportError: too new"):
        old.seconds()
    old.close()


def row(name, ratio, aim):
    return Row(name, "plain", aim, ratio=ratio, low=ratio, high=2 * ratio, n=1200, repeats=3)


def test_tables_and_figures_are_written_and_a_short_row_stands_out(tmp_path):
    rows = [
        row("a", 50.0, 40),
        row("b", 1.1, 1.3),
        replace(Row("c", "old", 6), note="not measured"),
    ]
    points = [
        Point(what, by, size, unit, size * 1.0, size * 0.9, size * 1.1, 3).values()
        for what, by, unit in (
            ("x", "ECGs", "s"), ("y", "questions", "s"), ("z", "seconds of ECG", "s"),
            ("m", "ECGs", "MB"),
        )
        for size in (1, 2, 4)
    ]  # fmt: skip
    frame = write(tmp_path, rows, points, MACHINE)
    assert short_of_aim(frame)["what"].tolist() == ["b"]
    lines = speed_block(tmp_path / "results").splitlines()
    assert lines[2] == "| a | plain | 50 (50-100) | 40 |  |  | 1,200 x 3 |"
    assert lines[3].startswith("| b | plain | **1.1 (1.1-2.2)** | 1.3 |")
    assert lines[4].startswith("| c | old | not measured | 6 |")
    assert "14 questions per ECG and 40% about pairs" in lines[-1]
    assert "Load average before and after: 1.0 and 2.0" in lines[-1]
    for name in ("ratios", "growth"):
        assert (tmp_path / "figures" / "benchmarks" / f"{name}.png").stat().st_size > 10_000
        assert (tmp_path / "results" / "benchmarks" / f"{name}.csv").is_file()
    assert json.loads((tmp_path / "results/benchmarks/machine.json").read_text()) == MACHINE
    memory = data_rows.memory_row(points)
    assert memory.ratio == 0.25 and memory.n == 4


def test_a_table_that_was_not_measured_is_one_line_that_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="make bench"):
        read_ratios(tmp_path / "ratios.csv")
    pd.DataFrame({"what": ["a"]}).to_csv(tmp_path / "ratios.csv")
    with pytest.raises(DataError, match="no column 'reference'"):
        read_ratios(tmp_path / "ratios.csv")


def test_the_table_needs_no_more_than_the_columns_that_are_promised():
    frame = pd.DataFrame([row("a", 123.4, 1e3).values()])
    assert "| **123 (123-247)** | 1,000 |" in markdown(frame, MACHINE)


def test_signal_data_and_questions_are_imported_without_torch():
    assert imported()[1] == {"pandas"}


def test_density_counts_ecgs_asked_about_alone_and_questions_about_pairs():
    asked = pd.DataFrame({"ecg_id": [["a"], ["a"], ["b"], ["a", "b"]]})
    assert density(asked) == {"questions_per_ecg": 1.5, "share_about_pairs": 0.25}


def test_memory_is_looked_at_while_a_cohort_is_prepared():
    before, peak = peak_of_preparing(300)
    assert 10 < before < peak < before + 200
    assert np.isfinite(peak)

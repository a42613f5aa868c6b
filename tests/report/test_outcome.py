"""Tests that the outcome printed by the tour holds only what the tables say."""

import pandas as pd

from ecg_lib.report.outcome import TABLE1, outcome
from ecg_lib.report.provenance import Provenance
from ecg_lib.report.tables import tidy, write_table

STAMP = Provenance("demo", "p" * 16, "d" * 16, "c" * 16, "42")


def write(folder, name, cells):
    frame = pd.DataFrame(cells, columns=["row", "column", "value", "ci_low", "ci_high"])
    write_table(name, tidy(name, frame, STAMP), folder, name, "made up")


def test_it_says_what_the_tables_say_with_their_intervals(tmp_path):
    write(tmp_path, "worlds", [("ecgqa: pairs", "ill", 66.18, float("nan"), float("nan"))])
    arms = [("de-biased - control, original ECG", "average", -0.3, -2.7, 2.2)]
    write(
        tmp_path, "random_ecg_differences", [*arms, ("control, drop", "average", 12.0, 9.9, 14.3)]
    )
    found = outcome(tmp_path).set_index("told")
    assert found.loc["the same in pairs", "found"] == "66.2"
    assert found.loc["de-biased minus control", "found"] == "-0.3 (-2.7 to 2.2)"
    assert list(found["table"]) == ["worlds", "random_ecg_differences"], "the rest is left out"


def test_before_the_notebooks_have_run_nothing_came_out(tmp_path):
    assert outcome(tmp_path).empty


def test_every_line_finds_its_cell_in_the_committed_tables_of_demo(committed_results):
    found = outcome(committed_results / "demo")
    there = (committed_results / "demo" / f"{TABLE1}.csv").is_file()
    assert len(found) == (15 if there else 12)

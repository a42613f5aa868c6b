"""Tests that the small file of main numbers agrees with the tables."""

import json
import shutil

import pytest

from ecg_lib.errors import DataError
from ecg_lib.report.headline import METRICS, headline, write_headline
from ecg_lib.report.tables import read_table


def cell(folder, table, row, column):
    frame = read_table(folder / f"{table}.csv")
    own = frame[(frame["source"] == "ours") & (frame["row"] == row) & (frame["column"] == column)]
    return round(own["value"].item(), 2)


def test_the_committed_file_is_that_of_the_committed_tables(committed_results):
    folder = committed_results / "demo"
    assert json.loads((folder / METRICS).read_text()) == headline(folder)


def test_every_number_is_a_cell_of_a_table(committed_results, tmp_path):
    shutil.copytree(committed_results / "demo", tmp_path / "demo")
    found = write_headline(tmp_path / "demo")
    for arm in ("de-biased", "not de-biased", "ill"):
        neutral = cell(tmp_path / "demo", "interventional", arm, "S-Verify")
        assert found["interventional, S-Verify"][arm] == neutral
        within = cell(
            tmp_path / "demo", "within_illness", f"{arm}, S-Verify", "balanced within ill"
        )
        assert found["balanced within ill, S-Verify"][arm] == within
    assert sum(found["claims"].values()) > 10


def test_a_missing_table_is_named(committed_results, tmp_path):
    shutil.copytree(committed_results / "demo", tmp_path / "demo")
    (tmp_path / "demo" / "within_illness.csv").unlink()
    with pytest.raises(DataError, match="within_illness"):
        headline(tmp_path / "demo")

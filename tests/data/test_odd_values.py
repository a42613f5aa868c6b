"""Test that impossible values are absent, by one table of limits for all cohorts."""

import math

import pandas as pd
import pytest
from ecg_folders import ptbxl_row, write_mimic, write_ptbxl

from ecg_lib.data.sources import ptbxl
from ecg_lib.data.sources.mimic_iv_ecg import MimicIvEcg
from ecg_lib.data.write_store import write_store
from ecg_lib.errors import DataError
from ecg_lib.knowledge import findings
from ecg_lib.knowledge.value_limits import possible, value_limits


def measured(tmp_path, **cells):
    """Return the attributes of one study in which the machine wrote these cells."""
    root = write_mimic(tmp_path / "m", {1: ["Sinus rhythm", "Normal ECG"]})
    path = root / "machine_measurements.csv"
    pd.read_csv(path, dtype=str).assign(**cells).to_csv(path, index=False)
    return write_store(tmp_path / "s", MimicIvEcg(root)).attributes[0]


ALL = {
    "rr interval": 0.8,
    "p duration": 0.1,
    "pr interval": 0.16,
    "qrs duration": 0.09,
    "qt interval": 0.4,
    "qt corrected": 0.4472,
}


@pytest.mark.parametrize(
    "cells, absent",
    [
        ({}, ""),
        ({"rr_interval": 65535}, "rr interval, qt corrected"),
        ({"rr_interval": 29999}, "rr interval, qt corrected"),
        ({"rr_interval": 20000}, "rr interval, qt corrected"),
        ({"rr_interval": 6}, "rr interval, qt corrected"),
        ({"rr_interval": 0}, "rr interval, qt corrected"),
        ({"rr_interval": -800}, "rr interval, qt corrected"),
        ({"t_end": 9000}, "qt interval, qt corrected"),
        ({"t_end": 4900}, "qt interval, qt corrected"),
        ({"t_end": 210}, "qt interval, qt corrected"),
        ({"qrs_end": 8000}, "qrs duration"),
        ({"qrs_end": 1200}, "qrs duration"),
        ({"p_onset": -5000}, "p duration, pr interval"),
        ({"p_onset": 300}, "p duration, pr interval"),
        ({"qrs_onset": 29999}, "pr interval, qrs duration, qt interval, qt corrected"),
    ],
)
def test_machine_measurements_no_heart_can_have_are_absent(tmp_path, cells, absent):
    gone = set(absent.split(", "))
    assert measured(tmp_path, **cells)["intervals"] == {
        name: value for name, value in ALL.items() if name not in gone
    }


@pytest.mark.parametrize(
    "degrees, axis",
    [
        (60, "normal heart axis"),
        (180, "right axis deviation"),
        (-100, "extreme axis deviation"),
        (260, "extreme axis deviation"),
        (330, "normal heart axis"),
        (400, None),
        (-200, None),
        (29999, None),
        ("x", None),
    ],
)
def test_an_axis_lies_on_the_circle(tmp_path, degrees, axis):
    assert measured(tmp_path, qrs_axis=degrees).get("heart_axis") == axis


def test_what_ecgqa_measures_stays_for_its_answers_rest_on_it(tmp_path, monkeypatch):
    """Of 9,936 intervals of 2,007 ECGs, 33 lie beyond the limits, and ECG-QA asks about them."""
    found = {"rr interval": 0.9, "qt corrected": 0.18}
    monkeypatch.setattr(ptbxl, "measure_intervals", lambda *_: found)
    root = write_ptbxl(tmp_path / "p", [ptbxl_row(1, 1)])
    store = write_store(tmp_path / "s", ptbxl.PtbXl(root))
    assert store.attributes[0]["intervals"] == found


def test_text_is_no_value_and_limits_are_included():
    assert possible("age", "120") == 120 and possible("age", 0) == 0
    assert all(math.isnan(possible("age", cell)) for cell in ("121", -1, "x", "", None, "inf"))


@pytest.mark.parametrize(
    "row, message",
    [
        ("age,years,0,100,me", "age occurs twice"),
        ("height,cm,250,20,me", "height: limits are '250' and '20'"),
        ("height,cm,20,tall,me", "height: limits are '20' and 'tall'"),
        ("height,cm,20,250,", "height has no source"),
    ],
)
def test_a_damaged_table_of_limits_names_the_row(tmp_path, monkeypatch, row, message):
    text = (findings._TABLES / "value_limits.csv").read_text(encoding="utf-8")
    (tmp_path / "value_limits.csv").write_text(f"{text}{row}\n", encoding="utf-8")
    monkeypatch.setattr(findings, "_TABLES", tmp_path)
    with pytest.raises(DataError, match=message):
        value_limits.__wrapped__()

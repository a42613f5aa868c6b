"""Test the simulator's tables, which a cardiologist may edit: clear errors, correct units."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_lib.data.simulated import simulator_tables
from ecg_lib.data.simulated.heart import apply_change
from ecg_lib.errors import DataError
from ecg_lib.knowledge.findings import FINDINGS

SLOTS = simulator_tables.waves().slots


def test_every_disease_has_waves_a_wording_and_a_known_code():
    diseases = simulator_tables.population()["diseases"]
    assert set(diseases) <= set(FINDINGS.index)
    assert set(diseases) <= set(simulator_tables.phrases()["findings"])


def test_a_finding_of_grade_zero_changes_nothing_and_of_grade_one_reaches_its_value():
    wave = simulator_tables.waves()
    for change in wave.changes.values():
        mv, at, sd = wave.mv.copy(), wave.at.copy(), wave.sd.copy()
        apply_change(change, 0.0, mv, at, sd)
        assert np.array_equal(mv, wave.mv) and np.array_equal(at, wave.at)
        apply_change(change, 1.0, mv, at, sd)
        np.testing.assert_allclose(mv[change.has_to], change.to[change.has_to])
        np.testing.assert_allclose(sd[change.widened], change.sd[change.widened])


def test_times_and_widths_are_in_seconds():
    wave = simulator_tables.waves()
    assert 0.2 < wave.at[SLOTS.index("t")] < 0.4
    assert (wave.sd > 0.001).all() and (wave.sd < 0.1).all()


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"grade": [0, 1], "waves": {"q9": {"to": [0, 0, 0]}}}, "unknown wave q9"),
        ({"grade": [0, 1], "waves": {"q1": {"to": [0, 0]}}}, "XYZ.waves.q1"),
        ({"grade": [0, 1], "waves": {"q1": {"plus": [0, 0, 0]}}}, "unknown operation plus"),
        ({"grade": [0.9, 0.1]}, "XYZ.grade"),
        ({"grade": [0, 1], "colour": "red"}, "unknown field colour"),
        ({"grade": [0, 1], "waves": {"t": {"sd_ms": [0, 30]}}}, "widths must be positive"),
    ],
)
def test_a_mistake_in_the_table_is_named(entry, named):
    with pytest.raises(DataError, match=named):
        simulator_tables._change("XYZ", entry, SLOTS)

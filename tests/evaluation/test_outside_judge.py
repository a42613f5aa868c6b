"""Test the outside judge, which measures lead II of simulated and recorded ECGs at 500 Hz."""

import numpy as np
import pandas as pd
import pytest

from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.write_store import write_store
from ecg_lib.evaluation import outside_judge
from ecg_lib.evaluation.outside_judge import FINDINGS, judged_cells, recorded, simulated

MOST = 6


@pytest.fixture(scope="module")
def ecgs():
    return simulated(patients=400, most=MOST, seed=3)


def test_ecgs_have_the_finding_under_which_they_are_judged(ecgs, tmp_path):
    store = write_store(tmp_path / "store", SimulatedCohort(400, seed=3, name="judged"))
    for found in (ecgs, recorded(store, MOST, seed=3)):
        assert list(found) == list(FINDINGS)
        for code, records in found.items():
            assert 0 < len(records) <= MOST and all(code in r.labels for r in records)
    assert [r.ecg_id for r in ecgs["NORM"]] == [r.ecg_id for r in found["NORM"]]


def test_medians_stand_beside_what_was_drawn_and_a_missing_interval_is_left_out(ecgs):
    seen = []

    def judge(lead):
        seen.append(lead)
        return {"PR": 150.0 if len(seen) % 2 else np.nan, "QRS": float(len(seen)), "QT": 400.0}

    cells = pd.DataFrame(judged_cells("Simulated", ecgs, judge, resamples=50))
    table = cells.set_index(["row", "column"])
    assert all(lead.shape == (5000,) for lead in seen)
    normal = len(ecgs["NORM"])
    assert table.loc[("Simulated, NORM, judged", "PR"), "n"] == (normal + 1) // 2
    assert table.loc[("Simulated, NORM, judged", "QRS"), "value"] == (normal + 1) / 2
    pr = [1000 * r.attributes["intervals"]["pr interval"] for r in ecgs["1AVB"]]
    drawn = table.loc[("Simulated, 1AVB, drawn", "PR")]
    assert drawn["value"] == pytest.approx(np.median(pr)) and drawn["value"] > 200
    assert drawn["ci_low"] <= drawn["value"] <= drawn["ci_high"]
    nobody = judged_cells("Nobody", {"CLBBB": []}, judge)
    assert [cell["n"] for cell in nobody] == [0, 0, 0]


def test_the_package_measures_a_plain_simulated_ecg_to_within_a_few_samples(ecgs):
    pytest.importorskip("openecg", reason="pip install debiased-ecg[judge]")
    assert outside_judge.installed()
    cells = pd.DataFrame(judged_cells("Simulated", {"NORM": ecgs["NORM"]}))
    table = cells.pivot(index="row", columns="column", values="value")
    apart = table.loc["Simulated, NORM, judged"] - table.loc["Simulated, NORM, drawn"]
    assert apart.abs()["PR"] < 30 and apart.abs()["QT"] < 60

"""Test that simulated reports deny only absent findings and call only normal ECGs normal."""

from functools import cache

import numpy as np
import pytest

from ecg_lib.data.simulated import simulator_tables
from ecg_lib.data.simulated.cohort import draw_patient
from ecg_lib.data.simulated.reports import write_report
from ecg_lib.errors import DataError

NO_ISCHAEMIA = ("no acute ischaemia", "no signs of infarction")
# Left bundle blocks, pacing, hypertrophy, flat T waves, Q waves, and rhythms that obscure the ST
UNREADABLE = {"CLBBB", "ILBBB", "IVCD", "PACE", "LVH", "RVH", "LOWT", "QWAVE"}
UNREADABLE |= {"AFIB", "AFLT", "SVTAC"}
RHYTHMS = {"SR", "SBRAD", "STACH", "SARRH"}


@cache
def drafts(patients=2000):
    return [
        (number, draft)
        for number in range(patients)
        for draft in draw_patient(np.random.default_rng([7, number]), 1)
    ]


@cache
def reports():
    """Return two reports per patient for 2,000 patients, each with the draft it describes."""
    return [
        (write_report(np.random.default_rng([number, k]), draft.labels, draft.attributes), draft)
        for number, draft in drafts()
        for k in range(2)
    ]


def test_ischaemia_and_infarction_are_not_ruled_out_where_the_ecg_cannot_say():
    assert len(reports()) >= 4000
    said = [set(d.labels) for text, d in reports() if any(no in text for no in NO_ISCHAEMIA)]
    assert len(said) > 100  # other reports still say it
    assert not [codes & UNREADABLE for codes in said if codes & UNREADABLE]
    met = set().union(*(d.labels for _, d in reports()))
    assert met >= UNREADABLE  # each of these codes occurs in the cohort


def test_no_block_hypertrophy_or_extrasystole_is_denied_that_is_there_or_hidden():
    denied = {
        "no signs of hypertrophy": {"LVH", "RVH", "VCLVH", "CLBBB", "PACE"},
        "no extrasystoles": {"PAC", "PVC", "PRC(S)", "BIGU", "TRIGU"},
        "no conduction disturbance": {"1AVB", "LPR", "CLBBB", "CRBBB", "PACE", "LAFB"},
    }
    for sentence, codes in denied.items():
        said = [set(d.labels) for text, d in reports() if sentence in text]
        assert said and not any(there & codes for there in said), sentence


def test_an_ecg_outside_its_limits_is_not_called_normal():
    normal = [d for _, d in drafts() if "NORM" in d.labels]
    assert len(normal) > 600
    for d in normal:
        times = d.attributes["intervals"]
        assert 50 <= 60 / times["rr interval"] <= 100
        assert d.attributes["heart_axis"] == "normal heart axis"
        assert 0.12 <= times["pr interval"] <= 0.20
        assert times["qt corrected"] <= (0.46 if d.visit.sex == "F" else 0.45)
        assert not {"BIGU", "TRIGU", "STACH"} & set(d.labels)


def test_an_ecg_refused_as_normal_is_one_outside_its_limits():
    """An ECG within the limits and without disease stays normal."""
    refused = [d for _, d in drafts() if set(d.labels) <= RHYTHMS]
    assert len(refused) > 50
    for d in refused:
        times = d.attributes["intervals"]
        assert (
            not 50 <= 60 / times["rr interval"] <= 100
            or d.attributes["heart_axis"] != "normal heart axis"
            or not 0.12 <= times["pr interval"] <= 0.20
            or times["qt corrected"] > (0.46 if d.visit.sex == "F" else 0.45)
        )


def test_sinus_rhythm_is_slow_below_60_per_minute_and_fast_above_100():
    for _, d in drafts():
        rate = 60 / d.attributes["intervals"]["rr interval"]
        for code, right in (("SR", 60 <= rate <= 100), ("SBRAD", rate < 60), ("STACH", rate > 100)):
            assert code not in d.labels or right, (code, rate)


def test_an_unknown_code_among_the_negations_is_named(monkeypatch):
    table = simulator_tables._read("phrases.yaml")
    table["negations"][0]["none_of"].append("LBBBB")
    simulator_tables.population()  # cached before the reader is replaced
    monkeypatch.setattr(simulator_tables, "_read", lambda name: table)
    with pytest.raises(DataError, match="negations.0.none_of: unknown code LBBBB"):
        simulator_tables.phrases.__wrapped__()

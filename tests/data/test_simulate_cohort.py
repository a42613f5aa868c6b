"""Test simulated ECGs: physics of the leads, reproducible records, recognisable findings."""

from __future__ import annotations

import dataclasses
import json

import neurokit2 as nk
import numpy as np
import pytest
from scipy.signal import resample_poly

from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.simulated.leadfield import DOWER, EIGHT, electrode_vectors, twelve_leads
from ecg_lib.data.simulated.reports import full_report
from ecg_lib.errors import DataError
from ecg_lib.knowledge.findings import FINDINGS, name_of
from ecg_lib.signal.leads import LEADS

AT = {lead: i for i, lead in enumerate(LEADS)}


@pytest.fixture(scope="module")
def records():
    return [r for batch in SimulatedCohort(700, seed=3).batches() for r in batch]


@pytest.fixture(scope="module")
def clean():
    return [r for batch in SimulatedCohort(700, seed=4, noise=0).batches() for r in batch]


def with_code(records, code, without=()):
    found = [r for r in records if code in r.labels and not set(without) & set(r.labels)]
    assert found, f"no record with {code}"
    return found


def usual_beat(record, before=0.12, after=0.16):
    """Return the median normal beat (12, T) around R, zero at the end of the PR segment."""
    kinds, times = record.attributes["beat_kinds"], record.attributes["beat_times"]
    peaks = [round(t * 100) for t, k in zip(times, kinds, strict=True) if k == "N"]
    low, high = round(before * 100), round(after * 100)
    beats = [record.signal[:, p - low : p + high] for p in peaks if p >= low and p + high < 1000]
    beat = np.median(beats, axis=0)
    return beat - beat[:, :2].mean(axis=1, keepdims=True)


def test_limb_leads_obey_einthoven_and_goldberger_with_noise(records):
    signal = np.stack([r.signal for r in records[:50]]).astype(float)
    one, two, three, avr, avl, avf = (signal[:, i] for i in range(6))
    assert np.abs(one + three - two).max() < 1e-5
    assert np.abs(avr + (one + two) / 2).max() < 1e-5
    assert np.abs(avl - (one - two / 2)).max() < 1e-5
    assert np.abs(avf - (two - one / 2)).max() < 1e-5


def test_electrodes_give_back_dowers_leads():
    np.testing.assert_allclose(EIGHT @ electrode_vectors(), DOWER, atol=1e-12)


def test_a_vector_to_the_back_is_negative_in_v2_and_to_the_left_positive_in_v6():
    back, left = (DOWER @ v for v in ([0, 0, 1], [1, 0, 0]))
    assert back[3] < 0 < left[7]
    assert twelve_leads(left[:, None])[AT["aVR"], 0] < 0


def test_batch_path_equals_plain_path(records):
    cohort = SimulatedCohort(700, seed=3)
    for item in (0, 1, 17, 400, len(cohort) - 1):
        alone, batch = cohort.read(item), records[item]
        for field in dataclasses.fields(alone):
            one, other = getattr(alone, field.name), getattr(batch, field.name)
            if field.name == "signal":
                assert one.dtype == np.float32 and np.array_equal(one, other)
            else:
                assert one == other, field.name


def test_a_larger_cohort_starts_with_the_same_patients_and_another_seed_does_not(records):
    small = SimulatedCohort(5, seed=3)
    assert all(np.array_equal(small.read(i).signal, records[i].signal) for i in small.index())
    other = SimulatedCohort(5, seed=4)
    assert not np.array_equal(other.read(0).signal, records[0].signal)


def test_version_names_all_that_shapes_a_record():
    versions = {
        SimulatedCohort(5).version,
        SimulatedCohort(5, seed=1).version,
        SimulatedCohort(5, noise=2).version,
        SimulatedCohort(5, splits=(0, 0, 1)).version,
    }
    assert len(versions) == 4


def test_records_are_complete_and_patients_stay_in_one_split(records):
    split_of = {}
    for i, r in enumerate(records):
        assert r.ecg_id == f"simulated/{i:06d}"
        assert r.signal.shape == (12, 1000) and np.isfinite(r.signal).all()
        assert np.abs(r.signal).max() < 12
        assert r.labels and set(r.labels) <= set(FINDINGS.index)
        assert r.report and "{" not in r.report
        assert split_of.setdefault(r.patient_id, r.split) == r.split
    share = np.mean([s == "train" for s in split_of.values()])
    assert 0.63 < share < 0.77


def test_a_patients_ecgs_come_in_order_of_time(records):
    last = {}
    for r in records:
        assert r.recorded_at > last.get(r.patient_id, "")
        last[r.patient_id] = r.recorded_at
    assert len(last) < len(records) < 3 * len(last)


def test_two_in_five_are_normal_and_the_main_findings_are_not_rare(records):
    share = {c: np.mean([c in r.labels for r in records]) for c in FINDINGS.index}
    assert 0.36 < share["NORM"] < 0.50  # PTB-XL: 9,528 of 21,837
    main = "AFIB SBRAD STACH SARRH 1AVB CLBBB CRBBB IRBBB LAFB LVH IMI AMI ASMI PVC PAC STD_ NDT"
    assert {c: s for c, s in share.items() if c in main.split() and s < 0.015} == {}


def test_severity_drives_the_number_of_findings(records):
    severity = np.array([r.attributes["severity"] for r in records])
    count = np.array([len(set(r.labels) - {"NORM", "SR"}) for r in records])
    assert count[severity > 0.8].mean() > 2 * count[severity < 0.3].mean()


def test_normal_excludes_disease_but_not_variants_of_rhythm(records):
    normal = with_code(records, "NORM")
    together = set().union(*(r.labels for r in normal))
    assert not together & {"AFIB", "CLBBB", "LVH", "IMI", "AMI", "1AVB", "INVT"}
    assert {"SBRAD", "SARRH", "PAC", "PVC"} <= together


def test_left_bundle_branch_block_hides_infarction(records):
    for r in with_code(records, "CLBBB"):
        assert not set(r.labels) & {"AMI", "ASMI", "LMI", "IMI"}


def test_infarction_stages_go_forward(records):
    order = {"early": 0, "middle": 1, "old": 2}
    seen: dict[str, int] = {}
    for r in records:
        stage = r.attributes.get("infarction_stage", "").split(" ")[0]
        if stage in order:
            assert order[stage] >= seen.get(r.patient_id, 0)
            seen[r.patient_id] = order[stage]
    assert seen


def test_rate_and_p_wave_agree_with_neurokit():
    almost_clean = SimulatedCohort(40, seed=4, noise=0.2)
    read = (almost_clean.read(i) for i in almost_clean.index())
    sinus = [r for r in read if {"SR", "NORM"} <= set(r.labels) and not r.attributes["noise"]][:12]
    rates, durations = [], []
    for r in sinus:
        # as ECG-QA measures its intervals: lead II at 500 Hz
        lead = nk.ecg_clean(resample_poly(r.signal[AT["II"]], 5, 1), sampling_rate=500)
        _, peaks = nk.ecg_peaks(lead, sampling_rate=500)
        truth = r.attributes["intervals"]
        rates.append(30000 / np.diff(peaks["ECG_R_Peaks"]).mean() - 60 / truth["rr interval"])
        _, waves = nk.ecg_delineate(lead, peaks["ECG_R_Peaks"], sampling_rate=500, method="dwt")
        p = np.array(waves["ECG_P_Offsets"], float) - np.array(waves["ECG_P_Onsets"], float)
        durations.append(np.nanmedian(p) / 500 - truth["p duration"])
    assert len(sinus) == 12
    assert np.median(np.abs(rates)) < 1
    assert np.median(np.abs(durations)) < 0.03


def test_attributes_and_labels_are_plain_json(records):
    for r in records[:200]:
        assert json.loads(json.dumps(r.attributes)) == r.attributes
        assert json.loads(json.dumps(r.labels)) == r.labels


def test_a_long_qt_is_long_and_low_voltage_is_low(clean):
    def corrected(code):
        return [r.attributes["intervals"]["qt corrected"] for r in with_code(clean, code)]

    assert np.median(corrected("LNGQT")) > 0.46 > np.percentile(corrected("NORM"), 90)
    limb = [np.ptp(usual_beat(r)[:6], axis=1).max() for r in with_code(clean, "LVOLT")]
    assert np.median(limb) < 0.6


def test_rates_fit_their_names(records):
    rate = {
        c: [60 / r.attributes["intervals"]["rr interval"] for r in with_code(records, c)]
        for c in ("SR", "SBRAD", "STACH")
    }
    assert max(rate["SBRAD"]) < 60 <= min(rate["SR"]) <= max(rate["SR"]) <= 100 < min(rate["STACH"])


def test_normal_intervals_are_physiological(records):
    found = [r.attributes["intervals"] for r in with_code(records, "NORM")]
    median = {k: np.median([f[k] for f in found]) for k in found[0]}
    assert 0.075 < median["qrs duration"] < 0.10
    assert 0.13 < median["pr interval"] < 0.19
    assert 0.09 < median["p duration"] < 0.125
    assert 0.37 < median["qt corrected"] < 0.44


def test_atrial_fibrillation_has_no_p_wave_and_irregular_beats(records):
    variation = {}
    for code in ("AFIB", "SR"):
        found = with_code(records, code, without=("PVC", "PAC", "BIGU", "PRC(S)"))
        rr = [np.diff(r.attributes["beat_times"]) for r in found]
        variation[code] = np.median([x.std() / x.mean() for x in rr])
    assert variation["AFIB"] > 0.12 > 0.06 > variation["SR"]
    for r in with_code(records, "AFIB"):
        assert not {"p duration", "pr interval"} & set(r.attributes["intervals"])


def test_first_degree_block_has_a_long_pr(records):
    for r in with_code(records, "1AVB"):
        assert r.attributes["intervals"]["pr interval"] > 0.2
    normal = with_code(records, "NORM")
    assert np.mean([r.attributes["intervals"]["pr interval"] < 0.2 for r in normal]) > 0.97


def test_left_bundle_branch_block_is_broad_up_in_v6_and_down_in_v1(clean):
    for r in with_code(clean, "CLBBB", without=("AFLT",)):
        beat = usual_beat(r)
        assert r.attributes["intervals"]["qrs duration"] >= 0.12
        # R only up to 20 ms after its peak, so that T does not count
        assert -beat[AT["V1"]].min() > 3 * beat[AT["V1"], :14].max()
    r_v6 = [usual_beat(r)[AT["V6"]].max() for r in with_code(clean, "CLBBB")]
    assert np.median(r_v6) > 0.4


def test_right_bundle_branch_block_ends_to_the_right_and_front(clean):
    found = with_code(clean, "CRBBB", without=("RVH", "LPFB", "AFLT", "BIGU", "AMI", "LMI"))
    beats = np.stack([usual_beat(r) for r in found])
    late = beats[:, :, 14:20]  # 20 to 70 ms after R
    assert np.median(late[:, AT["V1"]].max(axis=1)) > 0.25
    assert np.median(late[:, AT["V6"]].min(axis=1)) < -0.15
    width = np.median([r.attributes["intervals"]["qrs duration"] for r in found])
    assert width >= 0.115


def test_old_inferior_infarction_has_q_waves_in_iii_and_avf(clean):
    old = [
        r
        for r in with_code(clean, "IMI", without=("LAFB", "LVOLT", "LPFB"))
        if r.attributes["infarction_stage"].startswith("old")
    ]
    q = np.array([[usual_beat(r)[AT[lead], 6:12].min() for lead in ("III", "aVF")] for r in old])
    normal = [usual_beat(r)[AT["aVF"], 6:12].min() for r in with_code(clean, "NORM")[:60]]
    assert (np.median(q, axis=0) < -0.12).all() and np.median(normal) > -0.1


def test_early_infarction_elevates_st_over_its_territory(clean):
    for code, lead in (("IMI", "III"), ("AMI", "V3"), ("ASMI", "V2")):
        early = [
            r
            for r in with_code(clean, code)
            if r.attributes["infarction_stage"].startswith("early")
        ]
        st = [usual_beat(r, after=0.2)[AT[lead], 12 + 8] for r in early]
        assert st and np.median(st) > 0.1, (code, st)


def test_left_anterior_fascicular_block_turns_the_axis_left(records):
    found = with_code(records, "LAFB", without=("CRBBB", "LMI", "IMI", "AMI"))
    axes = [r.attributes["heart_axis"] for r in found]
    assert np.mean([a == "left axis deviation" for a in axes]) > 0.7  # 0.9 in larger cohorts
    normal = [r.attributes["heart_axis"] for r in with_code(records, "NORM")]
    assert np.mean([a == "normal heart axis" for a in normal]) > 0.9


def test_left_ventricular_hypertrophy_has_the_voltage(clean):
    def sokolow(r):
        beat = usual_beat(r)
        return -beat[AT["V1"]].min() + max(beat[AT["V5"]].max(), beat[AT["V6"]].max())

    large = [sokolow(r) for r in with_code(clean, "LVH")]
    usual = [sokolow(r) for r in with_code(clean, "NORM")]
    assert np.percentile(large, 20) > 2.7 and np.median(large) > 1.4 * np.median(usual)


def test_ventricular_beats_are_broader_than_usual_ones_and_named(clean):
    for r in with_code(clean, "PVC"):
        assert "V" in r.attributes["beat_kinds"]
        assert r.attributes["extrasystoles"] == ["ventricular extrasystoles"]


def test_noise_is_where_it_is_said_to_be():
    quiet = SimulatedCohort(60, seed=8, noise=0)
    noisy = SimulatedCohort(60, seed=8, noise=1)
    assert all(not quiet.read(i).attributes["noise"] for i in range(5))
    seen = 0
    for r in (noisy.read(i) for i in noisy.index()):
        for kind, leads in r.attributes["noise"].items():
            if kind == "static noise" and len(leads) < 12 and len(r.attributes["noise"]) == 1:
                rough = np.abs(np.diff(r.signal, n=2, axis=1))
                level = dict(zip(LEADS, np.median(rough, axis=1), strict=True))
                rest = [lead for lead in LEADS if lead not in leads]
                assert np.mean([level[x] for x in leads]) > np.mean([level[x] for x in rest])
                seen += 1
    assert seen


def test_the_same_hearts_can_be_recorded_with_and_without_noise():
    quiet, noisy = (SimulatedCohort(20, seed=8, noise=factor) for factor in (0, 2))
    for i in quiet.index():
        one, other = quiet.read(i), noisy.read(i)
        assert one.labels == other.labels
        assert one.attributes["beat_times"] == other.attributes["beat_times"]
        assert not np.array_equal(one.signal, other.signal)


def test_full_report_states_everything(records):
    for r in records[:200]:
        text = full_report(r, np.random.default_rng(1))
        assert all(name_of(code) in text for code in r.labels)
        assert r.attributes["heart_axis"] in text
        assert all(kind in text for kind in r.attributes["noise"])
        assert r.attributes.get("infarction_stage", "none of myocardial infarction") in text
        assert set(text[:-1].split(". ")) == set(full_report(r)[:-1].split(". "))


def test_reports_tell_disease_from_health(records):
    for r in records:
        if "NORM" not in r.labels:
            assert "normal ecg" not in r.report and "within normal limits" not in r.report
    told = [("fibrillation" in r.report) for r in with_code(records, "AFIB")]
    assert np.mean(told) > 0.9
    assert not any("fibrillation" in r.report for r in records if "AFIB" not in r.labels)


@pytest.mark.parametrize("wrong", [{"patients": 0}, {"splits": (0.5, 0.1, 0.1)}, {"noise": -1}])
def test_impossible_cohorts_are_refused(wrong):
    with pytest.raises(DataError, match="simulated cohort"):
        SimulatedCohort(**{"patients": 3, **wrong})

"""Test that the simulator draws every finding in ECG-QA's answers and labels it consistently."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from simulated_beats import AT, axis, median, peak, q_depth, qrs_width, recordings, st, t_wave

from ecg_lib.data.simulated.cohort import draw_patient
from ecg_lib.data.simulated.patients import MODIFIES, draw_visits
from ecg_lib.data.simulated.simulator_tables import phrases, population, waves
from ecg_lib.knowledge.findings import FINDINGS
from ecg_lib.questions.vocabulary import answers_in

INFARCTIONS = {"AMI", "ASMI", "LMI", "IMI", "ILMI", "ALMI", "IPLMI", "IPMI", "PMI"}
INFERIOR = {"IMI", "ILMI", "IPLMI", "IPMI"}  # may occur with one of another wall
ISCHAEMIA = {"ISC_", "ISCAL", "ISCIN", "ISCIL", "ISCAS", "ISCLA", "ISCAN"}
INJURY = {"INJAS", "INJAL", "INJIN", "INJLA", "INJIL"}
RHYTHMS = {"AFIB", "AFLT", "SVTAC", "PACE"}
BUNDLE = {"CLBBB", "ILBBB", "CRBBB", "IRBBB", "IVCD"}
SINUS = {"SR", "SBRAD", "STACH", "SARRH"}
# labels that are no disease in the tables: they follow from what is measured or drawn
DERIVED = {"VCLVH", "QWAVE", "LPR", "PAC", "PVC", "BIGU", "SR", "SBRAD", "STACH", "SARRH"}


@pytest.fixture(scope="module")
def drafts():
    """Two ECGs for each of 2,600 patients, without signals."""
    return [draw_patient(np.random.default_rng((11, i)), 2, noise=0) for i in range(2600)]


@pytest.fixture(scope="module")
def ecgs(drafts):
    return [draft for patient in drafts for draft in patient]


@pytest.mark.parametrize("group", ["diagnostic", "form", "rhythm"])
def test_every_answer_of_ecgqa_is_drawn(ecgs, group):
    seen = Counter(code for ecg in ecgs for code in ecg.labels)
    asked = {FINDINGS.index[FINDINGS.name == name][0] for name in answers_in(group)}
    assert {code: seen[code] for code in asked if seen[code] < 3} == {}
    assert asked - DERIVED <= set(population()["diseases"])


def test_the_new_findings_leave_the_existing_mix_about_as_it_was():
    table = population()["diseases"]
    old = set(list(table)[: list(table).index("SVTAC")])
    weight = {code: entry["weight"] for code, entry in table.items()}
    assert 0.2 < sum(weight[c] for c in set(table) - old) / sum(weight.values()) < 0.3


def test_every_row_of_the_table_is_used_and_every_label_has_words():
    used = set(population()["diseases"]) | set(MODIFIES) | {"no_p", "PVC", "PAC"}
    assert set(waves().changes) <= used
    assert {r for r, (code, _) in MODIFIES.items() if code not in population()["diseases"]} == set()
    words = phrases()["findings"]
    assert all(len(words[code]) >= 2 for code in words)
    assert set(population()["diseases"]) | DERIVED <= set(words)


def test_findings_that_exclude_each_other_do_not_meet(ecgs):
    for ecg in ecgs:
        found = set(ecg.labels)
        named = found & ISCHAEMIA if "strain" not in ecg.visit.modifiers else set()
        for alone in (RHYTHMS, BUNDLE, INFERIOR, INFARCTIONS - INFERIOR, INJURY):
            assert len(found & alone) <= 1, found
        assert len(named) <= 1, found
        if "SVTAC" in found:
            assert not found & (SINUS | {"1AVB", "PAC", "PVC", "LNGQT", "LAO/LAE", "RAO/RAE"})
        if found & {"LAO/LAE", "RAO/RAE"}:
            assert not found & RHYTHMS
        if found & INJURY:
            assert not found & (INFARCTIONS | {"CLBBB", "PACE", "NST_"})
        assert len(found & (RHYTHMS | SINUS)) == 1, found


def test_an_inferior_infarction_may_meet_an_anterior_one_and_shows_both(ecgs):
    inferior = [set(ecg.labels) for ecg in ecgs if INFERIOR & set(ecg.labels)]
    anterior = np.mean([bool(found & {"AMI", "ASMI", "ALMI"}) for found in inferior])
    assert 0.08 < anterior < 0.3  # PTB-XL, folds 1-6: .26
    assert median(q_depth("aVF"), "IMI+ASMI", stage="old") > 0.15
    assert median(peak("V2", -0.06, 0.02), "IMI+ASMI", stage="old") < 0.7 * median(
        peak("V2", -0.06, 0.02), "IMI", stage="old"
    )


def test_likelihoods_follow_the_kind_of_finding(ecgs):
    kinds = FINDINGS["kinds"]
    values = {code: set() for ecg in ecgs for code in ecg.labels}
    for ecg in ecgs:
        for code, likelihood in ecg.labels.items():
            values[code].add(likelihood)
    for code, seen in values.items():
        allowed = {15.0, 50.0, 80.0, 100.0} if "diagnostic" in kinds[code] else {0.0}
        assert seen <= allowed, code
    assert all(100.0 in values[code] for code in ISCHAEMIA | INJURY | {"DIG", "LAO/LAE"})
    doubted = Counter(c for e in ecgs for c, p in e.labels.items() if p in (15.0, 50.0))
    assert all(sum(doubted[c] for c in group) for group in (ISCHAEMIA, INJURY, INFARCTIONS))


def test_ischaemia_resolves_and_structure_stays(drafts):
    gone = Counter()
    for first, second in drafts:
        for code in set(first.visit.findings) - set(second.visit.findings):
            gone[code] += 1
    assert all(gone[c] for c in ("ISCAL", "INJAS", "SVTAC", "NST_"))
    lasting = ("LVH", "IVCD", "LAO/LAE", "RAO/RAE", "ABQRS", "ILMI", "PMI", "DIG", "CRBBB")
    assert {c: gone[c] for c in lasting if gone[c]} == {}


def test_digitalis_is_mostly_given_for_fibrillation_and_comes_and_goes_with_nothing():
    visits = (draw_visits(np.random.default_rng((5, i)), 1)[0] for i in range(6000))
    treated = ["AFIB" in v.findings for v in visits if "DIG" in v.findings]
    assert len(treated) > 15 and 0.35 < np.mean(treated) < 0.9


def test_forms_are_said_where_a_diagnosis_shows_them(ecgs):
    judged = [i for lead, i in AT.items() if lead not in ("aVR", "V1")]
    for ecg in ecgs:
        leads = ecg.attributes["form_leads"]
        for code in {"STD_", "STE_", "INVT", "NST_", "TAB_", "DIG"} & set(ecg.labels):
            assert leads[code] and {AT[x] for x in leads[code]} <= set(judged)
        if ecg.visit.stage == "early":
            assert {"STE_", "STD_"} & set(ecg.labels)
        if ecg.visit.stage and "PMI" not in ecg.labels:
            assert ("STE_" in ecg.labels) or ecg.visit.stage != "early"
    told = [ecg for ecg in ecgs if "ISCAL" in ecg.labels and ecg.visit.findings["ISCAL"] > 0.9]
    assert np.mean(["INVT" in ecg.labels for ecg in told]) > 0.5
    flat = [ecg for ecg in ecgs if ecg.visit.findings.get("INJAL", 0) > 0.8]
    assert np.mean(["STD_" in ecg.labels for ecg in flat]) > 0.5


def test_strain_is_read_as_ischaemia_beside_left_ventricular_hypertrophy(ecgs):
    others = {"INVT", "LOWT", "NT_", "NDT", "TAB_", "STD_", "STE_", "NST_", "DIG"}
    others |= ISCHAEMIA | INJURY
    for ecg in ecgs:
        strain = ecg.visit.modifiers.get("strain", 0) if "LVH" in ecg.visit.findings else 0
        if strain >= 0.5 and not others & set(ecg.visit.findings):
            assert ecg.labels["ISC_"] == 100.0
        if "ISC_" in ecg.labels and "ISC_" not in ecg.visit.findings:
            assert strain >= 0.5


def test_no_report_denies_what_is_there(ecgs):
    denied = {
        "no acute ischaemia": INFARCTIONS | ISCHAEMIA | INJURY | {"STD_", "STE_", "NST_", "DIG"},
        "no signs of infarction": INFARCTIONS | ISCHAEMIA | INJURY,
        "no block": BUNDLE | {"1AVB", "LAFB", "LPFB", "PACE"},
        "no conduction disturbance": BUNDLE | {"1AVB", "LAFB", "LPFB", "PACE"},
        "no signs of hypertrophy": {"LVH", "RVH", "LAO/LAE", "RAO/RAE"},
    }
    said = Counter()
    for ecg in ecgs:
        for sentence, codes in denied.items():
            if sentence in ecg.report:
                said[sentence] += 1
                assert not codes & set(ecg.labels), (sentence, ecg.labels)
    assert set(said) == set(denied)


# Combined findings: the signs of each one stay visible.


def test_right_bundle_branch_and_left_anterior_block_show_both_marks():
    both = "CRBBB+LAFB"
    assert median(peak("V1", 0.02, 0.09), both) > 0.2
    assert median(axis, both) < -30
    assert median(qrs_width, both) > 0.115


def test_fibrillation_hypertrophy_and_digitalis_show_each_mark():
    every = "AFIB+LVH+DIG"
    irregular = [np.diff(r.draft.drawn.beats.times) for r in recordings(every)]
    assert np.median([rr.std() / rr.mean() for rr in irregular]) > 0.12

    def sokolow(r):
        return -r.part("V1", -0.06, 0.08).min() + r.part("V5", -0.06, 0.08).max()

    assert median(sokolow, every) > 3.3
    assert median(st("V5"), every) < median(st("V5"), "AFIB+LVH") - 0.06
    assert all("p duration" not in r.draft.attributes["intervals"] for r in recordings(every))


def test_an_old_infarction_and_ischaemia_elsewhere_show_both():
    both = "IMI+ISCAL"
    assert median(q_depth("aVF"), both, stage="old") > 0.2
    assert median(t_wave("V5"), both, stage="old") < -0.1
    assert median(t_wave("V5"), "IMI", stage="old") > 0.1


def test_slow_conduction_widens_an_infarction_without_hiding_it():
    assert median(qrs_width, "ILMI+IVCD", stage="old") > 0.105
    assert median(q_depth("aVF"), "ILMI+IVCD", stage="old") > 0.15


def test_low_voltage_makes_an_infarcted_heart_small():
    for lead in ("I", "V5"):
        whole, small = (
            median(peak(lead, -0.06, 0.08), c, stage="old") for c in ("ILMI", "ILMI+LVOLT")
        )
        assert small < 0.75 * whole

"""Test that every ECG labelled with a finding meets the criteria that readers require for it."""

from __future__ import annotations

import numpy as np
import pytest
from simulated_beats import AT, BEFORE, peak, qrs_edges, recordings, t_wave, trough

from ecg_lib.data.simulated.cohort import draw_patient
from ecg_lib.data.simulated.truth import first_negative, q_leads
from ecg_lib.signal.leads import LEADS

INFERIOR = {"II", "III", "aVF"}


@pytest.fixture(scope="module")
def ecgs():
    patients = (draw_patient(np.random.default_rng((23, i)), 2, noise=0) for i in range(1500))
    return [ecg for patient in patients for ecg in patient]


def with_code(ecgs, code):
    found = [ecg for ecg in ecgs if code in ecg.labels]
    assert len(found) >= 15
    return found


def interval(ecgs, code, name):
    return [ecg.attributes["intervals"][name] for ecg in with_code(ecgs, code)]


# ---- axis


@pytest.mark.parametrize(("code", "low", "high"), [("LAFB", -90, -45), ("LPFB", 90, 180)])
def test_no_fascicular_block_without_its_axis(ecgs, code, low, high):
    axes = np.array([ecg.attributes["axis_degrees"] for ecg in with_code(ecgs, code)])
    assert ((axes < low) | (axes > high)).sum() == 0
    assert axes.std() > 5  # they differ, and do not all lie at the edge
    edge = low if code == "LPFB" else high
    assert np.mean(np.abs(axes - edge) < 1) < 0.1


def test_left_bundle_branch_block_is_not_vertical(ecgs):
    axes = [ecg.attributes["axis_degrees"] for ecg in with_code(ecgs, "CLBBB")]
    assert max(axes) < 75 and min(axes) < -30 and np.median(axes) < 20


# ---- widths


def test_left_bundle_branch_block_lasts_120_to_200_ms(ecgs):
    widths = np.array(interval(ecgs, "CLBBB", "qrs duration"))
    assert 0.12 <= widths.min() and widths.max() <= 0.2
    assert 0.142 <= np.median(widths) <= 0.158  # PTB-XL, folds 1-6: .148
    assert np.percentile(widths, 90) - np.percentile(widths, 10) > 0.02


def test_paced_beats_last_140_to_190_ms_with_r_and_s_in_v6(ecgs):
    widths = np.array(interval(ecgs, "PACE", "qrs duration"))
    assert 0.14 <= widths.min() and widths.max() <= 0.195 and 0.15 < np.median(widths) < 0.175
    both = [(peak("V6", -0.1, 0.12)(r), -trough("V6", -0.1, 0.12)(r)) for r in recordings("PACE")]
    r, s = np.median(both, axis=0)
    assert r > 0.15 and s > 0.15


def test_a_patient_keeps_the_width_of_the_block():
    first, second = (
        ecg.attributes["intervals"]["qrs duration"]
        for ecg in next(
            pair
            for pair in (draw_patient(np.random.default_rng((29, i)), 2, 0) for i in range(600))
            if all("CLBBB" in ecg.labels for ecg in pair)
        )
    )
    assert abs(first - second) < 0.012


def test_first_degree_block_is_mostly_mild(ecgs):
    pr = np.array(interval(ecgs, "1AVB", "pr interval"))
    assert pr.min() > 0.2 and 0.22 < np.median(pr) < 0.25 and pr.max() < 0.32


# ---- voltage and Q waves


def test_high_voltage_is_high(ecgs):
    from ecg_lib.data.simulated.truth import measure

    assert min(measure(ecg.drawn.heartbeat).sokolow for ecg in with_code(ecgs, "HVOLT")) >= 3.5


def test_old_inferior_infarction_has_q_waves_in_two_inferior_leads(ecgs):
    told = [
        ecg
        for ecg in with_code(ecgs, "IMI")
        if ecg.visit.stage == "old" and ecg.labels["IMI"] == 100
    ]
    seen = [len(INFERIOR & set(ecg.attributes["form_leads"].get("QWAVE", ()))) for ecg in told]
    assert len(told) > 40 and np.mean(np.array(seen) >= 2) > 0.95
    assert not any("QWAVE" in ecg.labels for ecg in ecgs if "NORM" in ecg.labels)


def test_a_q_wave_is_a_first_negative_wave_and_has_a_duration():
    time = np.arange(-0.1, 0.1, 0.002)
    wave = lambda at, sd: np.exp(-0.5 * ((time - at) / sd) ** 2)  # noqa: E731
    leads = np.stack(
        [
            -0.3 * wave(-0.03, 0.01) + wave(0.0, 0.01),  # qR
            0.2 * wave(-0.03, 0.006) - wave(0.0, 0.01),  # rS: no Q
            -0.8 * wave(0.0, 0.012),  # QS
        ]
    )
    depth, seconds = first_negative(leads)
    assert depth[0] > 0.2 and 0.02 < seconds[0] < 0.045
    assert depth[1] == 0 and seconds[1] == 0
    assert depth[2] == pytest.approx(0.8, abs=0.01) and seconds[2] > 0.05


@pytest.mark.parametrize(
    ("where", "seconds", "kept"),
    [
        ("III", 0.05, []),  # one lead alone: heart position
        ("III aVF", 0.05, ["III", "aVF"]),
        ("III aVF", 0.02, []),  # too short
        ("III V3", 0.05, []),  # no neighbours
        ("I aVL V5 V6", 0.03, ["I", "aVL", "V5", "V6"]),
    ],
)
def test_q_waves_count_in_neighbouring_leads_and_from_30_ms(where, seconds, kept):
    from dataclasses import replace

    from ecg_lib.data.simulated.truth import measure

    found = measure(recordings("", patients=1)[0].draft.drawn.heartbeat)
    there = np.isin(LEADS, where.split())
    found = replace(
        found, q=np.where(there, 0.4, 0.0), q_duration=np.where(there, seconds, 0.0), r=np.ones(12)
    )
    assert q_leads(found) == kept


# ---- ST and T are one wave


def domes(r, lead):
    """Return how deep the trace dips between a dome of the ST and an upright T, in mV."""
    j = qrs_edges(r.beat)[1] / 500 - BEFORE + 0.03
    part = r.part(lead, j, 0.5)
    top = int(part.argmax())
    before = part[: top + 1]
    highest = np.maximum.accumulate(before)
    return float((highest - before).max()) if part.max() > 0.03 else 0.0


@pytest.mark.parametrize("code", ["", "LOWT", "NT_", "INVT", "ISC_"])
@pytest.mark.parametrize("rate", [48.0, 70.0])
def test_no_dome_before_t_in_the_right_chest_leads(code, rate):
    for lead in ("V2", "V3"):
        dips = [domes(r, lead) for r in recordings(code, rate=rate, patients=12)]
        assert np.mean(np.array(dips) > 0.03) <= 0.1, (lead, np.round(dips, 3))


def test_a_biphasic_t_is_biphasic_at_a_high_rate_too():
    seen = [
        r.part("V4", 0.08, 0.3).max() > 0.05 and r.part("V4", 0.15, 0.4).min() < -0.05
        for r in recordings("TAB_", rate=98.0)
    ]
    assert np.mean(seen) > 0.7


# ---- flutter


def test_flutter_falls_slowly_and_rises_fast_below_and_is_small_elsewhere():
    for r in recordings("AFLT", patients=10):
        drawn = r.draft.drawn
        eight = drawn.atrial_leads @ drawn.atrial
        two, v1 = eight[1], eight[2]
        slope = np.diff(two)
        assert slope.max() > 1.4 * -slope.min()
        assert np.ptp(v1) < 0.7 * np.ptp(two)
        assert v1.max() > -1.4 * v1.min()  # upright
        for i in (0, 5, 6, 7):  # I, V4..V6
            assert np.ptp(eight[i]) < 0.25 * np.ptp(two)


# ---- the rest of the beat


def test_a_large_right_atrium_does_not_sink_the_pr_segment():
    def sinks(r):
        first = qrs_edges(r.beat)[0]
        return float(-r.beat[AT["II"], first - 25 : first - 2].min())

    assert np.median([sinks(r) for r in recordings("RAO/RAE", patients=15)]) < 0.08


def test_the_core_of_a_normal_qrs_is_steep():
    """The core exceeds 40 % of the top speed: 32-46 ms in PTB-XL's normals, folds 1-6."""

    def core(r):
        speed = np.sqrt((np.gradient(r.beat, axis=1) ** 2).sum(axis=0))
        first, last = qrs_edges(r.beat)
        fast = first + np.flatnonzero(speed[first:last] > 0.4 * speed[first:last].max())
        return (fast[-1] - fast[0]) / 500

    assert np.median([core(r) for r in recordings("", patients=20)]) < 0.047
    assert t_wave("V5")(recordings("", patients=1)[0]) > 0

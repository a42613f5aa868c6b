"""Test how each finding alone changes ST, T and Q in its leads, on noise-free ECGs."""

from __future__ import annotations

import numpy as np
import pytest
from simulated_beats import median, peak, q_depth, qrs_edges, recordings, st, t_end, t_wave, trough

from ecg_lib.data.simulated.simulator_tables import waves

QRS = (-0.08, 0.09)  # s around R

# ---- infarction: Q waves when old, ST elevation when early, T inversion in between

TERRITORY = {
    "AMI": ("V2 V3 V4", "V2 V3 V4", "V2"),
    "ASMI": ("V1 V2 V3", "V1 V2 V3", "V1 V2"),
    "LMI": ("I aVL V6", "I aVL V6", "aVL"),
    "IMI": ("II III aVF", "II III aVF", "II III aVF"),
    "ILMI": ("II aVF V5 V6", "II aVF V5 V6", "II aVF V6"),
    "ALMI": ("I aVL V3 V4 V5", "I aVL V3 V4 V5", "I aVL V4"),
    "IPMI": ("II III aVF", "II III aVF", "II III aVF"),
    "IPLMI": ("II aVF V5 V6", "II aVF V5 V6", "II aVF V6"),
}


@pytest.mark.parametrize("code", TERRITORY)
def test_infarction_shows_in_its_leads_by_stage(code):
    q, early, middle = (leads.split() for leads in TERRITORY[code])
    for lead in q:
        assert median(q_depth(lead), code, stage="old") > 0.15 + median(q_depth(lead), ""), lead
    for lead in early:
        assert median(st(lead), code, stage="early") > 0.1 + median(st(lead), ""), lead
        assert abs(median(st(lead), code, stage="old") - median(st(lead), "")) < 0.12, lead
    for lead in middle:
        assert median(t_wave(lead), code, stage="middle") < -0.05, lead
        assert median(t_wave(lead), code, stage="middle") < median(t_wave(lead), "") - 0.1, lead


@pytest.mark.parametrize("code", ["PMI", "IPMI", "IPLMI"])
def test_posterior_infarction_is_seen_upside_down_in_front(code):
    def r_share(r):
        high, low = r.part("V2", *QRS).max(), -r.part("V2", *QRS).min()
        return float(high / (high + low))

    assert median(r_share, code, stage="old") > 0.2 + median(r_share, "")
    assert median(st("V2"), code, stage="early") < -0.15
    assert median(t_wave("V2"), code, stage="middle") > 0.2 + median(t_wave("V2"), "")
    for r in recordings("PMI", stage="early"):
        assert "STD_" in r.draft.labels and "STE_" not in r.draft.labels


# ---- ischaemia and injury: T and ST point away from the territory

AWAY = {
    "ISCAN": ("V2 V3 V4", "III"),
    "ISCAS": ("V1 V2 V3", "V6 I"),
    "ISCAL": ("I aVL V4 V5 V6", "III"),
    "ISCLA": ("I aVL V5 V6", "III aVF V2"),
    "ISCIN": ("II III aVF", "I aVL V2"),
    "ISCIL": ("II aVF V5 V6", "V1 V2"),
}
UNDER = {
    "INJAS": ("V1 V2 V3", "V6"),
    "INJAL": ("I II V3 V4 V5 V6", "aVR"),
    "INJLA": ("I II V4 V5 V6", "aVR V1"),
    "INJIN": ("II III aVF V5", "aVR"),
    "INJIL": ("I II aVF V4 V5 V6", "aVR V1"),
}


@pytest.mark.parametrize("code", AWAY)
def test_ischaemia_inverts_t_in_its_leads(code):
    inverted, upright = (leads.split() for leads in AWAY[code])
    assert all(median(t_wave(lead), code) < -0.1 for lead in inverted)
    assert all(median(t_wave(lead), code) > 0 for lead in upright)


def test_ischaemic_t_waves_are_symmetrical():
    def lopsided(lead):
        def of(r):
            wave = np.abs(r.part(lead, 0.12, 0.55))
            top = int(wave.argmax())
            rise = top - np.flatnonzero(wave[:top] < 0.5 * wave[top])[-1]
            fall = np.flatnonzero(wave[top:] < 0.5 * wave[top])[0]
            return abs(float(np.log(rise / fall)))

        return of

    assert median(lopsided("V5"), "ISCAL") < median(lopsided("V5"), "") - 0.03


@pytest.mark.parametrize("code", UNDER)
def test_injury_depresses_st_in_its_leads_and_leaves_t_upright(code):
    depressed, elevated = (leads.split() for leads in UNDER[code])
    for lead in depressed:
        assert median(st(lead), code) < median(st(lead), "") - 0.09, lead
    assert all(median(st(lead), code) > median(st(lead), "") + 0.04 for lead in elevated)
    assert median(t_wave("V5"), code) > 0.1


@pytest.mark.parametrize("code", ["INJAL", "INJLA", "INJIN", "INJIL"])
def test_subendocardial_injury_raises_st_nowhere_but_in_avr_and_v1(code):
    """A rise in III or aVL would mean a transmural infarction of the opposite wall."""
    for lead in ("I", "II", "III", "aVL", "aVF", "V3", "V4", "V5", "V6"):
        assert max(st(lead)(r) for r in recordings(code, patients=20)) < 0.1, lead
    assert median(st("aVR"), code) > 0.1


def test_injury_is_flat_where_digitalis_sags():
    def bend(r):  # sag of the middle of the ST below its ends, as a share of its depth
        j = qrs_edges(r.beat)[1] / 500 - 0.4
        start, middle, end = (r.at("V5", j + x) for x in (0.015, 0.055, 0.095))
        return ((start + end) / 2 - middle) / max(-middle, 0.02)

    assert abs(median(bend, "INJAL")) < 0.35


def test_unspecific_ischaemia_flattens_or_inverts_lateral_t():
    assert all(median(t_wave(lead), "ISC_") < -0.05 for lead in ("I", "V4", "V5", "V6"))


# ---- other changes of ST and T


def test_digitalis_sags_st_shortens_qt_and_flattens_t():
    assert all(median(st(lead), "DIG") < -0.08 for lead in ("II", "V4", "V5", "V6"))
    assert median(t_end, "DIG") < median(t_end, "") - 0.025
    assert abs(median(t_wave("V5"), "DIG")) < 0.75 * median(t_wave("V5"), "")

    def pr(r):
        return r.draft.attributes["intervals"]["pr interval"]

    assert median(pr, "") + 0.015 < median(pr, "DIG") < 0.21

    def turns_up(r):  # trough-shaped: lower in the middle than at J and before T
        j = qrs_edges(r.beat)[1] / 500 - 0.4
        part = r.part("V6", j, j + 0.16)
        return float(min(part[0], part[-1]) - part.min())

    assert median(turns_up, "DIG") > 0.04


def test_long_qt_is_long():
    assert median(t_end, "LNGQT") > median(t_end, "LNGQT:0.6") > median(t_end, "") + 0.04


def test_st_and_t_of_the_other_forms():
    assert all(median(st(lead), "STD_") < -0.08 for lead in ("II", "V5", "V6"))
    assert all(median(st(lead), "STE_") > 0.15 for lead in ("V2", "V3", "V4"))
    assert all(median(t_wave(lead), "INVT") < -0.1 for lead in ("I", "V4", "V5"))
    for code in ("LOWT", "NT_", "NDT"):
        for lead in ("V3", "V5"):
            assert abs(median(t_wave(lead), code)) < 0.5 * median(t_wave(lead), ""), code


def test_unspecific_st_change_goes_either_way():
    down, normal, up = (median(st("V5"), code) for code in ("NST_", "", "NST_+st_up"))
    assert down < normal - 0.06 and up > normal + 0.05


def test_a_biphasic_t_rises_and_then_falls():
    for lead in ("V3", "V4", "V5"):
        assert median(peak(lead, 0.12, 0.22), "TAB_") > 0.05
        assert median(trough(lead, 0.22, 0.40), "TAB_") < -0.05


# ---- the measured change grows with the grade

GROWS = {
    "LNGQT": (t_end, 1),
    "DIG": (st("V5"), -1),
    "STD_": (st("V5"), -1),
    "STE_": (st("V3"), 1),
    "NST_": (st("V5"), -1),
    "INVT": (t_wave("V5"), -1),
    "ISC_": (t_wave("V5"), -1),
    "ISCAN": (t_wave("V3"), -1),
    "ISCAS": (t_wave("V2"), -1),
    "ISCAL": (t_wave("V5"), -1),
    "ISCLA": (t_wave("aVL"), -1),
    "ISCIN": (t_wave("III"), -1),
    "ISCIL": (t_wave("V6"), -1),
    "INJAS": (st("V2"), -1),
    "INJAL": (st("V5"), -1),
    "INJLA": (st("aVL"), -1),
    "INJIN": (st("III"), -1),
    "INJIL": (st("V6"), -1),
}


@pytest.mark.parametrize("code", GROWS)
def test_the_mark_grows_with_the_grade(code):
    of, sign = GROWS[code]
    low, high = waves().changes[code].grade
    grades = (low, (low + high) / 2, high)
    sizes = [sign * median(of, f"{code}:{grade:.3f}") for grade in grades]
    assert sizes[0] < sizes[1] < sizes[2], sizes


@pytest.mark.parametrize(
    ("code", "lead"), [("IMI", "aVF"), ("ILMI", "aVF"), ("ALMI", "aVL"), ("IPMI", "III")]
)
def test_a_larger_infarction_has_deeper_q_waves(code, lead):
    sizes = [median(q_depth(lead), f"{code}:{g}", stage="old") for g in (0.4, 0.7, 1.0)]
    assert sizes[0] < sizes[1] < sizes[2], sizes

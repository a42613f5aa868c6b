"""Test the morphology of each finding on noise-free ECGs of patients who have no other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import argrelextrema, periodogram
from simulated_beats import (
    AT,
    axis,
    median,
    p_part,
    peak,
    q_depth,
    qrs_edges,
    qrs_width,
    recordings,
    sample,
    st,
    t_wave,
    trough,
)

from ecg_lib.data.simulated.simulator_tables import waves
from ecg_lib.signal.leads import LEADS

QRS = (-0.08, 0.09)  # s around R

# ---- conduction


def test_left_bundle_branch_block():
    assert median(qrs_width, "CLBBB") >= 0.12
    assert median(peak("V6", *QRS), "CLBBB") > 0.4 and median(q_depth("V6"), "CLBBB") < 0.05
    small_r, deep_s = median(peak("V1", *QRS), "CLBBB"), median(trough("V1", *QRS), "CLBBB")
    assert deep_s < -0.8 and small_r < 0.25 * -deep_s
    assert median(t_wave("V6"), "CLBBB") < 0 < median(t_wave("V1"), "CLBBB")


def test_incomplete_left_bundle_branch_block_is_between_normal_and_complete():
    widths = [median(qrs_width, code) for code in ("", "ILBBB", "CLBBB")]
    assert widths[0] + 0.008 < widths[1] < widths[2] - 0.015
    assert median(q_depth("V6"), "ILBBB") < 0.05


def test_right_bundle_branch_block():
    assert median(qrs_width, "CRBBB") >= 0.118
    assert median(peak("V1", 0.025, 0.09), "CRBBB") > 0.3
    assert all(median(trough(lead, 0.025, 0.09), "CRBBB") < -0.15 for lead in ("I", "V6"))
    assert median(t_wave("V1"), "CRBBB") < 0


def test_incomplete_right_bundle_branch_block_is_narrow_with_a_second_r():
    assert median(qrs_width, "IRBBB") < 0.11
    assert median(peak("V1", 0.02, 0.07), "IRBBB") > 0.1 > median(peak("V1", 0.02, 0.07), "")


def test_left_anterior_fascicular_block():
    assert median(axis, "LAFB") < -45
    assert median(q_depth("aVL"), "LAFB") > 0.03 and median(peak("aVL", *QRS), "LAFB") > 0.3
    assert median(peak("III", *QRS), "LAFB") > 0.05 and median(trough("III", *QRS), "LAFB") < -0.3


def test_left_posterior_fascicular_block():
    assert median(axis, "LPFB") > 90
    assert median(trough("I", *QRS), "LPFB") < -0.15
    assert median(q_depth("III"), "LPFB") > 0.05 and median(peak("III", *QRS), "LPFB") > 0.4


def test_unspecific_conduction_delay_is_broad_without_the_pattern_of_a_bundle():
    assert 0.105 <= median(qrs_width, "IVCD") <= 0.135
    assert median(peak("V1", 0.025, 0.09), "IVCD") < 0.1  # no second r as in RBBB
    assert median(peak("V1", *QRS), "IVCD") > 0.06  # an initial r (and q in V6), unlike LBBB
    assert abs(median(axis, "IVCD") - median(axis, "")) < 25


@pytest.mark.parametrize("code", ["IVCD", "ABQRS"])
def test_notches(code):
    def bends(r):
        first, last = qrs_edges(r.beat)
        flow = np.gradient(r.beat[:, first:last], axis=1)
        return sum(
            len(argrelextrema(x, np.less)[0]) + len(argrelextrema(x, np.greater)[0]) for x in flow
        )

    assert median(bends, code) > 1.15 * median(bends, "")


def test_fragmented_qrs_is_not_broad():
    assert median(qrs_width, "ABQRS") < 0.11


def test_first_degree_block_lengthens_pr():
    def from_p_to_r(r):
        part = r.part("II", -0.39, -0.06)
        return 0.39 - float(part.argmax()) / 500

    assert median(from_p_to_r, "1AVB:0.4") > median(from_p_to_r, "") + 0.05
    assert median(from_p_to_r, "1AVB") > median(from_p_to_r, "1AVB:0.4") + 0.04
    for grade in (0, 0.5, 1):
        for r in recordings(f"1AVB:{grade or 0.01}"):
            assert r.draft.attributes["intervals"]["pr interval"] > 0.2


# ---- hypertrophy, voltage, atria


def sokolow(r):
    return -r.part("V1", *QRS).min() + max(r.part(lead, *QRS).max() for lead in ("V5", "V6"))


def test_left_ventricular_hypertrophy():
    assert median(sokolow, "LVH") > 3.4 > 1.3 * median(sokolow, "")
    assert median(t_wave("V6"), "LVH+strain") < -0.1 < median(t_wave("V6"), "LVH")


def test_right_ventricular_hypertrophy():
    assert median(peak("V1", *QRS), "RVH") > -median(trough("V1", *QRS), "RVH")
    assert median(axis, "RVH") > 90
    assert median(trough("V6", *QRS), "RVH") < -0.15
    for lead in ("V1", "V2", "III"):
        strained, plain = (median(t_wave(lead), code) for code in ("RVH+rv_strain", "RVH"))
        assert strained < min(plain, 0) - 0.05


def test_low_and_high_voltage():
    def limb(r):
        return float(np.ptp(r.beat[:6, sample(-0.06) : sample(0.08)], axis=1).max())

    assert median(limb, "LVOLT") < 0.5 < median(limb, "") < median(limb, "HVOLT") / 1.3


def p_span(r):
    """Return how long the P wave stands out in all leads together, in s."""
    part = r.beat[:, sample(-0.35) : qrs_edges(r.beat)[0] - 3]
    length = np.sqrt((part**2).sum(axis=0))
    far = np.flatnonzero(length > 0.3 * length.max())  # above atrial repolarisation
    return (far[-1] - far[0]) / 500


def p_height(lead):
    return lambda r: float(p_part(r, lead).max())


def test_left_atrial_enlargement_is_broad_and_ends_negative_in_v1():
    def v1_end(r):
        part = p_part(r, "V1")
        return float(part.min())

    assert median(p_span, "LAO/LAE") > median(p_span, "") + 0.015
    assert median(v1_end, "LAO/LAE") < -0.1 and median(v1_end, "LAO/LAE") < 2 * median(v1_end, "")
    for r in recordings("LAO/LAE:0.6"):
        assert 0.12 < r.draft.attributes["intervals"]["p duration"] < 0.16


def test_right_atrial_enlargement_is_tall_and_not_broad():
    assert median(p_height("II"), "RAO/RAE") > 0.25 > 1.7 * median(p_height("II"), "")
    assert median(p_height("V1"), "RAO/RAE") > median(p_height("V1"), "") + 0.04
    assert abs(median(p_span, "RAO/RAE") - median(p_span, "")) < 0.025


# ---- rhythm


def intervals(spec, **how):
    return [np.diff(r.draft.drawn.beats.times) for r in recordings(spec, **how)]


def variation(rr):
    return float(rr.std() / rr.mean())


def test_atrial_fibrillation_has_no_p_and_no_order():
    assert np.median([variation(rr) for rr in intervals("AFIB")]) > 0.12
    assert np.median([variation(rr) for rr in intervals("")]) < 0.05

    def successive(rr):  # entropy (bits) of RR in eight equal bins from 0.4 to 1.6 of the mean
        share = np.histogram(rr / rr.mean(), np.linspace(0.4, 1.6, 9))[0] / len(rr)
        return -(share[share > 0] * np.log2(share[share > 0])).sum()

    assert np.median([successive(rr) for rr in intervals("AFIB")]) > 1.5
    assert median(p_height("II"), "AFIB") < 0.7 * median(p_height("II"), "")


def test_atrial_flutter_is_a_regular_saw_tooth_and_conducts_whole_waves():
    for r in recordings("AFLT"):
        hz, power = periodogram(r.draft.drawn.atrial[0], 100)
        first = hz[power.argmax()]
        assert 4 <= first <= 5.5 and power[power.argmax() - 1 :].sum() > 0.9 * power.sum()
        overtone = power[np.abs(hz - 2 * first) < 0.3].sum()
        assert overtone > 0.05 * power.max()  # a saw tooth has overtones, a sine has none
        waves_per_beat = np.diff(r.draft.drawn.beats.times) * first
        assert np.abs(waves_per_beat - waves_per_beat.round()).max() < 0.25
        # the wave must appear in the inferior leads, not only in the draft
        hz, power = periodogram(r.signal[AT["III"]] - r.signal[AT["III"]].mean(), 100)
        near = power[np.abs(hz - first) < 0.2].max()
        assert near > 3 * np.median(power[(hz > 3) & (hz < 8)])


def test_supraventricular_tachycardia_is_fast_regular_and_narrow():
    for rate in (150.0, 185.0, 220.0):
        for rr in intervals("SVTAC", rate=rate):
            assert variation(rr) < 0.01 and 60 / rr.mean() == pytest.approx(rate, rel=0.02)
    assert median(qrs_width, "SVTAC", rate=185.0) < 0.1
    assert median(st("V5"), "SVTAC", rate=150.0) < median(st("V5"), "", rate=150.0) - 0.03
    for r in recordings("SVTAC", rate=185.0):
        assert set(r.draft.labels) & {"SR", "STACH"} == set()
        assert {"p duration", "pr interval"} & set(r.draft.attributes["intervals"]) == set()


def test_the_p_wave_of_a_tachycardia_is_hidden_or_follows_the_qrs():
    fast = {"rate": 160.0}
    pairs = zip(recordings("SVTAC", **fast), recordings("SVTAC+retrograde_p", **fast), strict=True)
    for hidden, seen in pairs:
        p = waves().group["p"]
        assert not hidden.draft.drawn.heartbeat.weights[0][:, p].any()
        change = seen.signal[AT["III"]] - hidden.signal[AT["III"]]
        after = []
        for time in hidden.draft.drawn.beats.times[2:-3]:
            first = round(time * 100)
            if 0 <= first < 960:
                after.append(change[first : first + 36])
        mean = np.mean(after, axis=0)
        assert 0.07 < mean.argmin() / 100 < 0.18 and mean.min() < -0.08  # inverted, in the ST


def around(spec):
    """Yield RR before and after each premature beat, relative to the median normal RR."""
    for r in recordings(spec):
        beats = r.draft.drawn.beats
        rr = np.diff(beats.times)
        usual = np.median(rr[(beats.kinds[:-1] == 0) & (beats.kinds[1:] == 0)])
        for i in np.flatnonzero(beats.kinds):
            if 0 < i < len(rr):
                yield rr[i - 1] / usual, rr[i] / usual


def test_an_atrial_premature_beat_comes_early_and_resets_the_rhythm():
    pairs = np.array(list(around("PAC")))
    assert (pairs[:, 0] < 0.9).all() and (pairs.sum(axis=1) < 2.02).mean() > 0.7
    for r in recordings("PAC"):
        normal, early = r.draft.drawn.heartbeat.weights[:2]
        p, qrs = waves().group["p"], waves().group["qrs"]
        assert np.allclose(normal[:, qrs], early[:, qrs])
        assert np.abs(normal[:, p] - early[:, p]).max() > 0.03


def test_a_ventricular_premature_beat_is_broad_with_a_compensatory_pause():
    pairs = np.array(list(around("PVC")))
    assert (pairs[:, 0] < 0.9).all()
    assert np.median(np.abs(pairs.sum(axis=1) - 2)) < 0.08
    for r in recordings("PVC"):
        beat = r.draft.drawn.heartbeat
        qrs = waves().group["qrs"]
        size = np.abs(beat.weights[:, :, qrs]).sum(axis=1)
        spread = [
            np.sqrt(np.average((at - np.average(at, weights=w)) ** 2, weights=w))
            for at, w in ((beat.at[k, qrs], size[k]) for k in (0, 2))
        ]
        assert spread[1] > 1.6 * spread[0]


def test_ventricular_beats_point_upwards_and_downwards_as_their_focus_does():
    qrs = waves().group["qrs"]
    up = [r.draft.drawn.heartbeat.weights[2, 1, qrs].sum() for r in recordings("PVC", patients=20)]
    assert 0.2 < np.mean(np.array(up) > 0) < 0.8  # lead II


def test_inferior_infarction_is_told_from_left_anterior_block_by_its_first_deflection():
    for lead in ("III", "aVF"):
        q = median(q_depth(lead), "IMI", stage="old")
        assert q > 0.15 > median(q_depth(lead), "LAFB") + 0.1
    assert median(trough("II", *QRS), "LAFB") < median(trough("II", *QRS), "IMI", stage="old") - 0.1


@pytest.mark.parametrize(("code", "every"), [("BIGU", 2), ("TRIGU", 3)])
def test_premature_beats_in_a_pattern(code, every):
    for premature in ("PVC", "PAC"):
        for r in recordings(f"{premature}+{code}"):
            places = np.flatnonzero(r.draft.drawn.beats.kinds)
            assert len(places) > 2 and set(np.diff(places)) == {every}
            assert code in r.draft.labels


def test_pacing_has_a_spike_before_a_broad_qrs():
    def spike(r):
        return float(np.abs(np.diff(r.beat[:, sample(-0.11) : sample(-0.055)], axis=1)).max())

    assert median(spike, "PACE") > 4 * median(spike, "")
    assert median(qrs_width, "PACE") > 0.14 and median(peak("V1", *QRS), "PACE") < 0.2


# ---- the measured change grows with the grade

GROWS = {
    "CLBBB": (qrs_width, 1),
    "CRBBB": (peak("V1", 0.025, 0.09), 1),
    "IRBBB": (peak("V1", 0.02, 0.07), 1),
    "IVCD": (qrs_width, 1),
    "LAFB": (axis, -1),
    "LVH": (sokolow, 1),
    "RVH": (peak("V1", *QRS), 1),
    "LAO/LAE": (p_span, 1),
    "RAO/RAE": (p_height("II"), 1),
}


@pytest.mark.parametrize("code", GROWS)
def test_the_mark_grows_with_the_grade(code):
    of, sign = GROWS[code]
    low, high = waves().changes[code].grade
    grades = (low, (low + high) / 2, high)
    # Means, because a median of widths moves in steps of 2 ms, the sampling interval.
    sizes = [sign * np.mean([of(r) for r in recordings(f"{code}:{grade:.3f}")]) for grade in grades]
    assert sizes[0] < sizes[1] < sizes[2], sizes


def test_rulers_agree_with_the_truth_of_the_record():
    for code in ("", "CLBBB", "CRBBB", "IVCD", "LAFB"):
        for r in recordings(code):
            truth = r.draft.attributes["intervals"]["qrs duration"]
            assert abs(qrs_width(r) - truth) < 0.03
    assert len(LEADS) == len(AT) == 12

"""Tests of intervals by NeuroKit2: right on known beats, empty and silent where there are none."""

import subprocess
import sys
import warnings

import neurokit2 as nk
import numpy as np
import pandas as pd
import pytest

from ecg_lib.data.wfdb_files import read_wfdb
from ecg_lib.paths import ROOT
from ecg_lib.signal.delineate import FEATURES, landmarks, measure_intervals

# wave: height (mV), peak (s from R), width (s); a Gaussian wave ends two widths from its peak
WAVES = {
    "P": (0.15, -0.155, 0.02),
    "Q": (-0.12, -0.025, 0.007),
    "R": (1.2, 0.0, 0.010),
    "S": (-0.25, 0.025, 0.008),
    "T": (0.35, 0.27, 0.04),
}
TRUE = {
    "rr interval": 0.8,
    "p duration": 0.08,
    "pr interval": 0.156,
    "qrs duration": 0.080,
    "qt interval": 0.389,
    "qt corrected": 0.389 / 0.8**0.5,
}


def lead_ii(fs=500, rr=0.8, seconds=10, waves=WAVES):
    t = np.arange(round(seconds * fs)) / fs
    away = (t + rr / 2) % rr - rr / 2  # s from the nearest R peak; R at 0, rr, 2 rr ...
    return sum(mv * np.exp(-0.5 * ((away - at) / sd) ** 2) for mv, at, sd in waves.values())


def test_a_beat_with_known_edges_is_measured_to_a_few_ms():
    found = measure_intervals(lead_ii(), 500)
    assert set(found) == set(FEATURES)
    assert found["rr interval"] == pytest.approx(0.8, abs=0.001)
    for name in FEATURES[1:]:
        assert found[name] == pytest.approx(TRUE[name], abs=0.016), name


def test_features_are_those_with_a_normal_range():
    ranges = pd.read_csv(ROOT / "ecg_lib" / "questions" / "ranges.csv", comment="#")
    assert list(ranges.feature) == list(FEATURES)


@pytest.mark.parametrize("fs", [100, 250, 1000])
def test_the_sampling_rate_does_not_matter(fs):
    reference, found = measure_intervals(lead_ii(), 500), measure_intervals(lead_ii(fs), fs)
    for name in FEATURES:
        assert found[name] == pytest.approx(reference[name], abs=0.012), name


def test_longer_intervals_are_measured_longer():
    late = WAVES | {"P": (0.15, -0.215, 0.02), "T": (0.35, 0.32, 0.04)}
    short, long = measure_intervals(lead_ii(), 500), measure_intervals(lead_ii(waves=late), 500)
    assert long["pr interval"] - short["pr interval"] == pytest.approx(0.06, abs=0.008)
    assert long["qt interval"] - short["qt interval"] == pytest.approx(0.05, abs=0.008)


def test_without_a_q_wave_the_qrs_onset_stays_at_the_qrs():
    """NeuroKit2's wavelets alone put the onset at the end of the P wave."""
    plain = {name: wave for name, wave in WAVES.items() if name != "Q"}
    assert measure_intervals(lead_ii(waves=plain), 500)["pr interval"] > 0.14


def test_the_convention_of_ecgqa_is_that_of_its_generator():
    """QRS runs from Q to S peak, QT from the Q peak. Both ends count; the median beat is used."""
    lead = lead_ii() + np.random.default_rng(0).normal(0, 0.004, 5000)
    found = measure_intervals(lead, 500, "ecgqa")
    clean = nk.ecg_clean(lead, sampling_rate=500)
    _, peaks = nk.ecg_peaks(clean, sampling_rate=500)
    _, waves = nk.ecg_delineate(clean, peaks, sampling_rate=500, method="dwt")

    def between(first, last):
        samples = np.array(waves[f"ECG_{last}"], float) - np.array(waves[f"ECG_{first}"], float)
        return (np.nanmedian(samples) + 1) / 500

    assert found["p duration"] == pytest.approx(between("P_Onsets", "P_Offsets"))
    assert found["qrs duration"] == pytest.approx(between("Q_Peaks", "S_Peaks"))
    assert found["qt interval"] == pytest.approx(between("Q_Peaks", "T_Offsets"))
    assert found["rr interval"] == 0.8


def test_landmarks_are_neurokits_own_on_real_ecgs(real_data):
    folder = real_data / "ptbxl" / "records500" / "00000"
    pairs = {
        "P_on": "P_Onsets",
        "P_off": "P_Offsets",
        "R_off": "R_Offsets",
        "T_off": "T_Offsets",
        "Q": "Q_Peaks",
        "S": "S_Peaks",
    }
    for header in sorted(folder.glob("*.hea"))[:12]:
        lead = read_wfdb(header.with_suffix("")).signal[1]
        found = landmarks(lead, 500, "ecgqa")
        clean = nk.ecg_clean(lead, sampling_rate=500)
        peaks = found["R"].astype(int)
        _, waves = nk.ecg_delineate(clean, peaks, sampling_rate=500, method="dwt")
        for ours, theirs in pairs.items():
            np.testing.assert_array_equal(found[ours], np.array(waves[f"ECG_{theirs}"], float))


ODD = {
    "empty": np.zeros(0),
    "flat": np.zeros(5000),
    "step": np.repeat([0.0, 1.0], 2500),
    "short": lead_ii(seconds=1),
    "two beats": lead_ii(rr=4.0),
    "NaN": np.where(np.arange(5000) == 70, np.nan, lead_ii()),
    "two leads": np.stack([lead_ii(), lead_ii()]),
}


@pytest.mark.parametrize("convention", ["clinical", "ecgqa"])
@pytest.mark.parametrize("name", ODD)
def test_signals_without_beats_give_nothing_and_say_nothing(name, convention):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert measure_intervals(ODD[name], 500, convention) == {}


def test_whatever_comes_is_answered_with_finite_times_of_known_names():
    rng = np.random.default_rng(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for lead in (
            rng.normal(0, 1, 5000),
            rng.normal(0, 1, 2200).cumsum(),
            lead_ii() + rng.normal(0, 0.4, 5000),
            1e6 * lead_ii(),
            np.sign(np.sin(np.arange(5000) / 40)),
        ):
            found = measure_intervals(lead, 500)
            assert set(found) <= set(FEATURES) and np.isfinite(list(found.values())).all()


def test_too_few_beats_for_ecgqa_are_enough_for_the_clinic():
    slow = lead_ii(rr=1.7)
    assert measure_intervals(slow, 500, "ecgqa") == {}
    assert measure_intervals(slow, 500)["rr interval"] == pytest.approx(1.7, abs=0.002)


def test_an_unknown_convention_is_refused():
    with pytest.raises(ValueError, match="clinical, ecgqa"):
        measure_intervals(lead_ii(), 500, "dwt")


def test_measuring_needs_no_torch():
    code = (
        "import sys, numpy; from ecg_lib.signal.delineate import measure_intervals; "
        "measure_intervals(numpy.zeros(5000), 500); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0

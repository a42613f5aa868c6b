"""Test that NeuroKit2 measures on simulated ECGs what the simulator says of them.

There are two caveats. The NeuroKit2 landmarks that delimit a QRS were chosen on simulated ECGs (its
"dwt" method alone is off by 60-80 ms where lead II has no Q wave), so only the rate is a blind
test. And NeuroKit2 sees lead II, while the truth covers all leads. Normal QRS durations hardly
differ, and the measured one says little about a single normal heart (rank correlation about 0.2).
For QRS the tests therefore check only the typical duration and that bundle branch blocks stand out.
"""

import numpy as np
import pandas as pd
import pytest

from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.signal.delineate import RATE, landmarks, measure_intervals

FS = 100  # Hz of the cohort
LEAD_II = 1


@pytest.fixture(scope="module")
def clean():
    """Noise-free ECGs without premature beats."""
    every = (r for batch in SimulatedCohort(900, seed=11, noise=0).batches() for r in batch)
    return [r for r in every if not r.attributes["extrasystoles"]]


@pytest.fixture(scope="module")
def sinus(clean):
    """Measured and true intervals (s) of normal ECGs in sinus rhythm, one row per ECG."""
    records = [r for r in clean if {"NORM", "SR"} <= set(r.labels)][:80]
    measured = [measure_intervals(r.signal[LEAD_II], FS) for r in records]
    return pd.DataFrame(measured), pd.DataFrame([r.attributes["intervals"] for r in records])


def test_the_rate_is_right_in_every_sinus_ecg(sinus):
    measured, truth = sinus
    error = (60 / measured["rr interval"] - 60 / truth["rr interval"]).abs()
    assert error.median() < 1 and error.quantile(0.9) < 2


@pytest.mark.parametrize(
    "feature, most", [("qrs duration", 12), ("pr interval", 15), ("qt interval", 20)]
)
def test_intervals_agree_with_the_truth(sinus, feature, most):
    """Median absolute error in ms; NeuroKit2 finds no onset in a fifth of noise-free P waves."""
    measured, truth = sinus
    error = 1000 * (measured[feature] - truth[feature]).abs()
    assert error.notna().mean() > 0.75
    assert error.median() < most


@pytest.mark.parametrize("feature", ["pr interval", "qt interval"])
def test_hearts_keep_their_order(sinus, feature):
    """Medians could be right even if the true values had no influence on the signals."""
    measured, truth = sinus
    assert measured[feature].corr(truth[feature], method="spearman") > 0.7


def test_beats_are_found_where_they_were_put(clean):
    records = [r for r in clean if {"NORM", "SR"} <= set(r.labels)][:160]
    errors = []
    for r in records:
        peaks = landmarks(r.signal[LEAD_II], FS)["R"] / RATE
        beats = np.array(r.attributes["beat_times"])
        beats = beats[(beats > 0.4) & (beats < 9.8)]  # NeuroKit2 misses the very first
        errors.append(np.abs(peaks[:, None] - beats[None, :]).min(axis=0))
    errors = np.concatenate(errors)
    # with an axis far to the left, the peak in lead II is the S wave, half a QRS late
    assert np.median(errors) < 0.005 and np.mean(errors < 0.04) > 0.97


@pytest.mark.parametrize("code, feature", [("1AVB", "pr interval"), ("STACH", "rr interval")])
def test_findings_of_time_are_measured_as_such(clean, sinus, code, feature):
    measured, truth = sinus
    ill = [r for r in clean if code in r.labels and "p duration" in r.attributes["intervals"]][:60]
    theirs = [measure_intervals(r.signal[LEAD_II], FS).get(feature, np.nan) for r in ill]
    told = np.median([r.attributes["intervals"][feature] for r in ill])
    change = np.nanmedian(theirs) - measured[feature].median()
    assert len(ill) >= 4
    assert change == pytest.approx(told - truth[feature].median(), abs=0.025)
    assert abs(change) > 0.02  # two samples


def test_a_left_bundle_branch_block_reads_a_little_broader_than_a_normal_qrs(clean, sinus):
    """Lead II hides most of the width of a left bundle branch block, in recorded ECGs too.

    In PTB-XL, folds 1-6, NeuroKit2 reads 107 ms on lead II against 100 ms for normals; over all
    leads it is 148 against 92. test_simulate_morphology.py checks the width over all leads.
    """
    blocked = [r for r in clean if "CLBBB" in r.labels][:60]
    read = [measure_intervals(r.signal[LEAD_II], FS).get("qrs duration", np.nan) for r in blocked]
    assert 0.004 < np.nanmedian(read) - sinus[0]["qrs duration"].median() < 0.05

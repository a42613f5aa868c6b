"""Intervals over questions and seeds."""

import numpy as np
import pytest

from ecg_lib.errors import DataError
from ecg_lib.evaluation.over_seeds import difference_over_seeds, mean_over_seeds
from ecg_lib.evaluation.statistics import paired_difference

RNG = np.random.default_rng(0)
A, B = (RNG.random((3, 200)) < 0.6 for _ in range(2))


def width(estimate):
    return estimate.ci_high - estimate.ci_low


def test_an_arm_does_not_differ_from_itself():
    same = difference_over_seeds(A, A)
    assert (same.value, same.ci_low, same.ci_high, same.n) == (0, 0, 0, 200)


def test_swapped_arms_differ_by_the_negative():
    one, other = difference_over_seeds(A, B), difference_over_seeds(B, A)
    assert one.value == pytest.approx(-other.value)
    assert one.ci_low == pytest.approx(-other.ci_high)
    assert one.ci_high == pytest.approx(-other.ci_low)


def test_arms_of_equal_skill_have_an_interval_that_holds_zero_in_19_of_20():
    held = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        a, b = (rng.random((3, 150)) < 0.6 for _ in range(2))
        difference = difference_over_seeds(a, b, 200, seed)
        held += difference.ci_low <= 0 <= difference.ci_high
    assert held >= 53


def test_with_one_seed_the_interval_is_that_of_questions():
    one = difference_over_seeds(A[:1], B[:1], 4000)
    known = paired_difference(A[0], B[0], 4000)
    assert one.value == pytest.approx(known.value)
    assert width(one) == pytest.approx(width(known), rel=0.1)


def test_trainings_that_vary_and_questions_of_one_patient_widen_the_interval():
    steady = np.tile(A[0], (3, 1)).astype(float)
    varied = steady.copy()
    varied[0, :80], varied[1, :80] = 1, 0
    assert width(mean_over_seeds(varied)) > 1.5 * width(mean_over_seeds(steady))
    patient = np.arange(200) // 10
    alike = np.repeat(A[:, ::10], 10, axis=1)
    assert width(mean_over_seeds(alike, groups=patient)) > 1.5 * width(mean_over_seeds(alike))


def test_no_question_is_no_number_and_what_is_not_paired_is_refused():
    assert np.isnan(mean_over_seeds(A[:, :0]).value)
    for wrong in ([], [A[0], A[1][:5]]):
        with pytest.raises(DataError, match="over seeds"):
            mean_over_seeds(wrong)
    for other in (B[:2], B[:, :9]):
        with pytest.raises(DataError, match="paired"):
            difference_over_seeds(A, other)

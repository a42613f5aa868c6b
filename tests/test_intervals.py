"""Test confidence intervals and McNemar's test: values, missing values and speed."""

import time

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ecg_lib.errors import DataError
from ecg_lib.intervals import (
    auc_over_seeds,
    bootstrap_ids,
    bootstrap_means,
    difference_over_seeds,
    mcnemar,
    mean_over_seeds,
    weighted_auc,
    wilson,
)

RNG = np.random.default_rng(0)


def sample(n=400, rate=0.3, shift=1.0, seed=1):
    rng = np.random.default_rng(seed)
    y = rng.random(n) < rate
    return y, rng.normal(size=n) + shift * y


def test_wilson_gives_the_textbook_interval():
    estimate = wilson(8, 10)  # Wilson 1927: 0.490 to 0.943
    assert (estimate.value, estimate.n) == (0.8, 10)
    assert (estimate.ci_low, estimate.ci_high) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_wilson_of_nothing_is_nan_and_of_nonsense_an_error():
    assert np.isnan(wilson(0, 0).value)
    with pytest.raises(DataError):
        wilson(5, 4)


@pytest.mark.parametrize("digits", [8, 1, 0])
def test_the_auc_equals_scikit_learns_with_and_without_ties(digits):
    y, score = sample()
    score = score.round(digits)
    found = auc_over_seeds(y, score, resamples=2).value
    assert found == pytest.approx(roc_auc_score(y, score), abs=1e-12)


@pytest.mark.parametrize("digits", [8, 0])
def test_the_bootstraps_draws_equal_scikit_learns_auc_of_the_same_records(digits):
    y, score = sample(60)
    order = np.argsort(score.round(digits), kind="stable")
    y, score = y[order], score.round(digits)[order]
    ids = bootstrap_ids(60, 20, seed=3)
    weights = np.stack([np.bincount(i, minlength=60) for i in ids]).astype(float)
    expected = [roc_auc_score(y[i], score[i]) for i in ids]
    assert weighted_auc(weights, y, score) == pytest.approx(expected, abs=1e-12)


def test_the_auc_interval_holds_the_value_and_narrows_with_more_data():
    small, large = auc_over_seeds(*sample(200)), auc_over_seeds(*sample(3200))
    for estimate in (small, large):
        assert estimate.ci_low < estimate.value < estimate.ci_high
    assert (large.ci_high - large.ci_low) < 0.5 * (small.ci_high - small.ci_low)


def test_the_auc_interval_covers_the_truth_about_as_often_as_it_says():
    from scipy.stats import norm

    truth = norm.cdf(1 / np.sqrt(2))
    estimates = [auc_over_seeds(*sample(150, seed=s), resamples=300, seed=s) for s in range(100)]
    covered = sum(e.ci_low <= truth <= e.ci_high for e in estimates)
    assert 86 <= covered <= 100


def test_too_few_positives_or_negatives_give_no_value_but_their_number():
    y, score = np.arange(100) < 4, np.arange(100.0)
    few = auc_over_seeds(y, score)
    assert np.isnan(few.value) and few.n_pos == 4 and few.percent()["n"] == 4
    assert np.isnan(auc_over_seeds(~y, score).value)


def test_drawing_whole_patients_widens_the_interval_when_their_records_agree():
    y, score = sample(100)
    y, score, patient = np.repeat(y, 10), np.repeat(score, 10), np.repeat(np.arange(100), 10)
    records, patients = auc_over_seeds(y, score), auc_over_seeds(y, score, groups=patient)
    assert records.value == patients.value
    assert (patients.ci_high - patients.ci_low) > 2 * (records.ci_high - records.ci_low)


def test_nine_labels_of_two_thousand_records_take_a_few_seconds():
    started = time.perf_counter()
    for label in range(9):
        auc_over_seeds(*sample(2000, 0.1, seed=label))
    assert time.perf_counter() - started < 8


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    data = sample()
    assert auc_over_seeds(*data, seed=5) == auc_over_seeds(*data, seed=5)
    assert auc_over_seeds(*data, seed=5) != auc_over_seeds(*data, seed=6)
    assert (bootstrap_ids(9, 4, 1) == bootstrap_ids(9, 4, 1)).all()


def test_scores_that_are_not_numbers_are_refused():
    with pytest.raises(DataError, match="finite"):
        auc_over_seeds([True, False], [np.nan, 1.0])


def test_grouped_means_draw_whole_groups():
    values, groups = np.repeat([0.0, 1.0], 500), np.repeat(["a", "b"], 500)
    assert set(bootstrap_means(values, groups=groups)) == {0.0, 0.5, 1.0}


def test_mcnemar_counts_only_the_questions_on_which_answerers_differ():
    a = np.r_[np.ones(10), np.zeros(2), np.ones(88)]
    b = np.r_[np.zeros(10), np.ones(2), np.ones(88)]
    result = mcnemar(a, b)
    assert (result.only_a, result.only_b) == (10, 2)
    assert result.p == pytest.approx(2 * 79 / 4096)  # twice P(X <= 2), X ~ binomial(12, 1/2)
    with pytest.raises(DataError, match="same rows"):
        mcnemar(a, b[:5])


# -- over seeds

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
    alone = bootstrap_means(A[0].astype(float) - B[0], 4000)
    assert one.value == pytest.approx(A[0].mean() - B[0].mean())
    assert width(one) == pytest.approx(np.ptp(np.percentile(alone, [2.5, 97.5])), rel=0.1)


def test_varying_seeds_and_shared_patients_widen_the_interval():
    steady = np.tile(A[0], (3, 1)).astype(float)
    varied = steady.copy()
    varied[0, :80], varied[1, :80] = 1, 0
    assert width(mean_over_seeds(varied)) > 1.5 * width(mean_over_seeds(steady))
    patient = np.arange(200) // 10
    alike = np.repeat(A[:, ::10], 10, axis=1)
    assert width(mean_over_seeds(alike, groups=patient)) > 1.5 * width(mean_over_seeds(alike))


def test_no_questions_give_nan_and_unpaired_arms_are_refused():
    assert np.isnan(mean_over_seeds(A[:, :0]).value)
    for wrong in ([], [A[0], A[1][:5]]):
        with pytest.raises(DataError, match="over seeds"):
            mean_over_seeds(wrong)
    for other in (B[:2], B[:, :9]):
        with pytest.raises(DataError, match="paired"):
            difference_over_seeds(A, other)


def test_a_paired_difference_is_tighter_than_two_independent_accuracies():
    a = np.random.default_rng(2).random(500) < 0.7
    b = a.copy()
    b[np.flatnonzero(a)[:50]] = False
    difference = difference_over_seeds([a], [b])
    assert difference.value == pytest.approx(0.1)
    assert 0.05 < difference.ci_low < 0.1 < difference.ci_high < 0.15

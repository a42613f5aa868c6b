"""Intervals and tests behind every number in the tables.

All functions work in fractions (0 to 1); ``Estimate.percent()`` gives the cell of a table.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata
from statsmodels.stats.contingency_tables import mcnemar as _mcnemar
from statsmodels.stats.proportion import proportion_confint

from ecg_lib.errors import DataError

_CHUNK = 4_000_000  # weights held at a time in a bootstrap, about 32 MB


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; NaN where the data cannot support one."""

    value: float
    ci_low: float
    ci_high: float
    n: int
    n_pos: int | None = None

    def percent(self) -> dict[str, float | int]:
        """value, n, ci_low, ci_high in percent; n counts positives where these were counted."""
        return {
            "value": 100 * self.value,
            "n": self.n if self.n_pos is None else self.n_pos,
            "ci_low": 100 * self.ci_low,
            "ci_high": 100 * self.ci_high,
        }


class McNemar(NamedTuple):
    """Discordant pairs and the exact two-sided p value."""

    only_a: int
    only_b: int
    p: float


def wilson(k: int, n: int) -> Estimate:
    """A proportion k of n with its 95 % Wilson interval; NaN where n is 0."""
    if not 0 <= k <= n:
        raise DataError(f"wilson: {k} of {n} is no proportion; give 0 <= k <= n")
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, 0)
    low, high = proportion_confint(k, n, method="wilson")
    return Estimate(k / n, float(low), float(high), n)


def bootstrap_ids(n: int, resamples: int, seed: int) -> NDArray[np.intp]:
    """Positions 0..n-1 drawn with replacement, shape (resamples, n)."""
    return np.random.default_rng(seed).integers(0, n, size=(resamples, n))


def auc(y: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve by ranks (Mann-Whitney), ties counting one half."""
    y, score = np.asarray(y, bool), np.asarray(score, float)
    positives = int(y.sum())
    ranks = rankdata(score)[y].sum() - positives * (positives + 1) / 2
    return float(ranks / (positives * (len(y) - positives)))


def auc_with_ci(
    y: ArrayLike,
    score: ArrayLike,
    resamples: int = 1000,
    seed: int = 0,
    min_positives: int = 10,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> Estimate:
    """AUC with a 95 % percentile bootstrap interval.

    Parameters
    ----------
    y, score : (n,)
        Truth (bool) and the score that should be higher where it is true.
    min_positives : int
        With fewer positives, or fewer negatives, the value is NaN; n_pos is still reported.
    groups : (n,), optional
        Patients: whole patients are drawn. Without groups, records are drawn within each class.
    weights : (resamples, n), optional
        How often each record is drawn, of resamples that were drawn before; no others are then.

    Raises
    ------
    DataError
        Lengths differ or a score is not finite.
    """
    score = np.asarray(score, float)[None]
    return auc_over_seeds(y, score, resamples, seed, min_positives, groups, weights)


def auc_over_seeds(
    y: ArrayLike,
    scores: ArrayLike,
    resamples: int = 1000,
    seed: int = 0,
    min_positives: int = 10,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> Estimate:
    """Mean AUC of several trainings on the same records, with a bootstrap interval over records.

    Parameters
    ----------
    scores : (seeds, n)
        Each draw of records is the same for all seeds: the interval is about the records, seeds
        are averaged. The other parameters and errors are those of :func:`auc_with_ci`.
    """
    y, scores = np.asarray(y, bool), np.asarray(scores, float)
    if scores.ndim != 2 or scores.shape[1:] != y.shape or not np.isfinite(scores).all():
        raise DataError("auc: truth and score need one length and finite scores; check the answers")
    n, positives = len(y), int(y.sum())
    if min(positives, n - positives) < max(min_positives, 1):
        return Estimate(np.nan, np.nan, np.nan, n, positives)
    first = np.argsort(scores[0], kind="stable")
    y, scores = y[first], scores[:, first]
    given = None if weights is None else np.asarray(weights, float)[:, first]
    resamples = resamples if given is None else len(given)
    orders = np.argsort(scores, axis=1, kind="stable")
    codes = None if groups is None else np.unique(np.asarray(groups)[first], return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // n)
    draws = []
    for start in range(0, resamples, step):
        drawn = (
            _weights(rng, min(step, resamples - start), y, codes)
            if given is None
            else given[start : start + step]
        )
        each = [_weighted_auc(drawn[:, o], y[o], s[o]) for o, s in zip(orders, scores, strict=True)]
        draws.append(np.mean(each, axis=0))
    low, high = np.nanpercentile(np.concatenate(draws), [2.5, 97.5])
    value = float(np.mean([auc(y, score) for score in scores]))
    return Estimate(value, float(low), float(high), n, positives)


def macro_auc(
    y: ArrayLike,
    scores: ArrayLike,
    minus: ArrayLike | None = None,
    resamples: int = 1000,
    seed: int = 0,
    min_positives: int = 10,
    groups: ArrayLike | None = None,
) -> Estimate:
    """Mean AUC over labels and trainings, or the difference of two such means, with its interval.

    Parameters
    ----------
    y : (n, labels)
        Truth; labels with fewer positives or negatives than `min_positives` are left out.
    scores, minus : (trainings, n, labels)
        `minus` is subtracted in every draw of the bootstrap: the difference is paired by record.
    groups : (n,), optional
        Patients: whole patients are drawn. Without groups, records are drawn.

    Raises
    ------
    DataError
        Shapes do not fit or a score is not finite.
    """
    y, both = np.asarray(y, bool), [np.asarray(scores, float)]
    both += [] if minus is None else [np.asarray(minus, float)]
    if any(s.ndim != 3 or s.shape[1:] != y.shape or not np.isfinite(s).all() for s in both):
        raise DataError("macro AUC: truth (n, labels) wants finite scores (trainings, n, labels)")
    enough = np.minimum(y.sum(0), (~y).sum(0)) >= max(min_positives, 1)
    if not enough.any():
        return Estimate(np.nan, np.nan, np.nan, len(y))
    codes = np.unique(np.arange(len(y)) if groups is None else groups, return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    drawn = _draw_counts(rng, int(codes.max()) + 1, resamples)[:, codes]
    drawn = np.concatenate([np.ones((1, len(y))), drawn])  # first, the records as they are
    means = []
    for several in both:
        each = []
        for label in np.flatnonzero(enough):
            for s in several[:, :, label]:
                order = np.argsort(s, kind="stable")
                each.append(_weighted_auc(drawn[:, order], y[order, label], s[order]))
        means.append(np.mean(each, axis=0))
    values = means[0] - means[1] if len(means) > 1 else means[0]
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return Estimate(float(values[0]), float(low), float(high), len(y))


def _weights(
    rng: np.random.Generator, resamples: int, y: NDArray, codes: NDArray | None
) -> NDArray:
    """How often each record is drawn, shape (resamples, n)."""
    if codes is not None:
        return _draw_counts(rng, int(codes.max()) + 1, resamples)[:, codes]
    weights = np.zeros((resamples, len(y)))
    for mask in (y, ~y):
        weights[:, mask] = _draw_counts(rng, int(mask.sum()), resamples)
    return weights


def _draw_counts(rng: np.random.Generator, n: int, resamples: int) -> NDArray:
    drawn = rng.integers(0, n, size=(resamples, n)) + n * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=n * resamples).reshape(resamples, n).astype(float)


def _weighted_auc(weights: NDArray, y: NDArray, score: NDArray) -> NDArray:
    """AUC of each row of weights; y and score sorted by score. NaN where a class is absent."""
    starts = np.flatnonzero(np.r_[True, np.diff(score) > 0])  # first record of each tied score
    positive = np.add.reduceat(weights * y, starts, axis=1)
    negative = np.add.reduceat(weights * ~y, starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    wins = (positive * (below + negative / 2)).sum(axis=1)
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return np.divide(wins, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def bootstrap_means(
    values: ArrayLike, resamples: int = 1000, seed: int = 0, groups: ArrayLike | None = None
) -> NDArray:
    """Means of `values` over resampled rows, or over resampled groups (patients)."""
    values = np.asarray(values, float)
    if groups is None:
        codes = np.arange(len(values))
    else:
        codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    sums, sizes = np.bincount(codes, values), np.bincount(codes)
    rng, count = np.random.default_rng(seed), len(sums)
    step = max(1, _CHUNK // max(count, 1))
    means = []
    for start in range(0, resamples, step):
        ids = rng.integers(0, count, size=(min(step, resamples - start), count))
        means.append(sums[ids].sum(axis=1) / sizes[ids].sum(axis=1))
    return np.concatenate(means)


def paired_difference(
    a_correct: ArrayLike,
    b_correct: ArrayLike,
    resamples: int = 1000,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> Estimate:
    """Accuracy of a minus accuracy of b on the same questions, 95 % paired bootstrap interval.

    With `groups` (one per question, such as the patient), whole groups are drawn, so that many
    questions on one ECG are not taken for independent evidence.
    """
    difference = _paired(a_correct, b_correct)
    if len(difference) == 0:
        return Estimate(np.nan, np.nan, np.nan, 0)
    low, high = np.percentile(bootstrap_means(difference, resamples, seed, groups), [2.5, 97.5])
    return Estimate(float(difference.mean()), float(low), float(high), len(difference))


def mcnemar(a_correct: ArrayLike, b_correct: ArrayLike) -> McNemar:
    """Exact McNemar test of two answerers on the same questions."""
    difference = _paired(a_correct, b_correct)
    only_a, only_b = int((difference > 0).sum()), int((difference < 0).sum())
    result = _mcnemar([[0, only_a], [only_b, 0]], exact=True)
    return McNemar(only_a, only_b, float(result.pvalue))


def _paired(a_correct: ArrayLike, b_correct: ArrayLike) -> NDArray:
    a, b = np.asarray(a_correct, float), np.asarray(b_correct, float)
    if a.shape != b.shape:
        raise DataError(f"paired comparison: {len(a)} against {len(b)} answers; use the same rows")
    return a - b

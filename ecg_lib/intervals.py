"""Intervals and tests behind every number: Wilson, McNemar and one percentile bootstrap.

The bootstrap draws whole patients wherever they are given, because the records of one patient are
alike. All functions work with fractions (0 to 1); `Estimate.percent()` gives the cell of a table.
This module imports only the library's errors, so that all of the library may use it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from statsmodels.stats.contingency_tables import mcnemar as _mcnemar
from statsmodels.stats.proportion import proportion_confint

from ecg_lib.errors import DataError

_CHUNK = 4_000_000  # numbers that a bootstrap holds at once, about 32 MB


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; NaN if the data cannot support one."""

    value: float
    ci_low: float
    ci_high: float
    n: int
    n_pos: int | None = None

    @classmethod
    def of(cls, value: float, draws: NDArray, n: int, n_pos: int | None = None) -> "Estimate":
        """Return a value whose interval holds the middle 95 % of the bootstrap draws."""
        low, high = np.nanpercentile(draws, [2.5, 97.5])
        return cls(float(value), float(low), float(high), n, n_pos)

    @classmethod
    def none(cls, n: int = 0, n_pos: int | None = None) -> "Estimate":
        """Return an estimate without a value, for too few records."""
        return cls(np.nan, np.nan, np.nan, n, n_pos)

    def percent(self) -> dict[str, float | int]:
        """Return value, n, ci_low and ci_high in percent; n is `n_pos` if that is known."""
        return {
            "value": 100 * self.value,
            "n": self.n if self.n_pos is None else self.n_pos,
            "ci_low": 100 * self.ci_low,
            "ci_high": 100 * self.ci_high,
        }


# -- proportions -----------------------------------------------------------------------------


def wilson_limits(k: ArrayLike, n: ArrayLike) -> tuple[NDArray, NDArray]:
    """Return the 95 % Wilson limits of `k` of `n`, elementwise."""
    return proportion_confint(np.asarray(k), np.asarray(n), method="wilson")


def wilson(k: int, n: int) -> Estimate:
    """Return the proportion k of n with its 95 % Wilson interval; NaN if n is 0.

    Raises
    ------
    DataError
        k is negative or larger than n.
    """
    if not 0 <= k <= n:
        raise DataError(f"wilson: {k} of {n} is not a proportion; give 0 <= k <= n")
    if n == 0:
        return Estimate.none()
    low, high = wilson_limits(k, n)
    return Estimate(k / n, float(low), float(high), n)


class McNemar(NamedTuple):
    """Counts of discordant pairs and the exact two-sided p value."""

    only_a: int
    only_b: int
    p: float


def mcnemar(a_correct: ArrayLike, b_correct: ArrayLike) -> McNemar:
    """Run the exact McNemar test of two models on the same questions.

    Raises
    ------
    DataError
        The models answered different numbers of questions.
    """
    a, b = np.asarray(a_correct, float), np.asarray(b_correct, float)
    if a.shape != b.shape:
        raise DataError(f"paired comparison: {len(a)} and {len(b)} answers; compare the same rows")
    only_a, only_b = int((a > b).sum()), int((a < b).sum())
    return McNemar(only_a, only_b, float(_mcnemar([[0, only_a], [only_b, 0]], exact=True).pvalue))


# -- means -----------------------------------------------------------------------------------


def bootstrap_ids(n: int, resamples: int, seed: int) -> NDArray[np.intp]:
    """Draw positions 0..n-1 with replacement, shape (resamples, n)."""
    return np.random.default_rng(seed).integers(0, n, size=(resamples, n))


def bootstrap_means(
    values: ArrayLike, resamples: int = 1000, seed: int = 0, groups: ArrayLike | None = None
) -> NDArray:
    """Return means of `values` over resampled rows or groups (patients), (resamples,)."""
    codes = _codes(len(np.asarray(values)), groups)
    sums, sizes = np.bincount(codes, np.asarray(values, float)), np.bincount(codes)
    rng, count = np.random.default_rng(seed), len(sums)
    means = []
    for size in _steps(resamples, count):
        ids = rng.integers(0, count, size=(size, count))
        means.append(sums[ids].sum(axis=1) / sizes[ids].sum(axis=1))
    return np.concatenate(means)


def mean_over_seeds(
    values: Sequence[ArrayLike],
    resamples: int = 1000,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> Estimate:
    """Average a measure over training runs and questions; the bootstrap resamples both.

    With three seeds the interval reflects the variation between training runs only roughly. An
    interval over questions alone would ignore it.

    Parameters
    ----------
    values : (seeds, n)
        A measure of each question (correct or not, or a drop in it) for each training run.
    groups : (n,), optional
        Patients: whole patients are drawn, the same for all seeds of a draw.

    Returns
    -------
    Estimate
        A fraction; n counts the questions, each of which every seed answered.

    Raises
    ------
    DataError
        There is no training run, or the runs answered different numbers of questions.
    """
    lengths = {len(np.asarray(part)) for part in values}
    if len(lengths) != 1:
        raise DataError(
            f"over seeds: training runs answered {sorted(lengths)} questions; give at "
            "least one run, and ask all runs the same questions"
        )
    matrix = np.asarray([np.asarray(part, float) for part in values])  # (S, n)
    if not matrix.shape[1]:
        return Estimate.none()
    codes = _codes(matrix.shape[1], groups)
    sums = np.stack([np.bincount(codes, row) for row in matrix])  # (S, groups)
    sizes = np.bincount(codes)
    rng = np.random.default_rng(seed)
    draws = np.empty(resamples)
    for k in range(resamples):
        seeds = rng.integers(0, len(sums), size=len(sums))
        drawn = rng.integers(0, len(sizes), size=len(sizes))
        draws[k] = sums[seeds].mean(axis=0)[drawn].sum() / sizes[drawn].sum()
    return Estimate.of(matrix.mean(), draws, matrix.shape[1])


def difference_over_seeds(
    a: Sequence[ArrayLike],
    b: Sequence[ArrayLike],
    resamples: int = 1000,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> Estimate:
    """Return a minus b, paired by question and seed; arguments as for :func:`mean_over_seeds`.

    Raises
    ------
    DataError
        The two have different numbers of training runs or questions.
    """
    if [len(np.asarray(part)) for part in a] != [len(np.asarray(part)) for part in b]:
        raise DataError(
            "over seeds: the two differ in their number of training runs or questions; "
            "compare runs that are paired by seed and question"
        )
    pairs = [np.asarray(x, float) - np.asarray(y, float) for x, y in zip(a, b, strict=True)]
    return mean_over_seeds(pairs, resamples, seed, groups)


# -- area under the ROC curve ----------------------------------------------------------------


def auc_over_seeds(
    y: ArrayLike,
    scores: ArrayLike,
    resamples: int = 1000,
    seed: int = 0,
    min_positives: int = 10,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> Estimate:
    """Average the AUC of one label over training runs, with an interval over records or patients.

    The other parameters and the errors are those of :func:`macro_auc`.

    Parameters
    ----------
    y : (n,) bool
        Ground truth.
    scores : (seeds, n), or (n,) for one training run
        Each draw of records is the same for all seeds, so the interval is about the records.
    min_positives : int
        With fewer positives or fewer negatives the value is NaN; n_pos is still reported.
    """
    y, scores = np.asarray(y, bool), np.atleast_2d(np.asarray(scores, float))
    found = macro_auc(
        y[:, None], scores[:, :, None], None, resamples, seed, min_positives, groups, weights
    )
    return Estimate(found.value, found.ci_low, found.ci_high, len(y), int(y.sum()))


def macro_auc(
    y: ArrayLike,
    scores: ArrayLike,
    minus: ArrayLike | None = None,
    resamples: int = 1000,
    seed: int = 0,
    min_positives: int = 10,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> Estimate:
    """Average AUC over labels and training runs, or subtract two such means, with an interval.

    Parameters
    ----------
    y : (n, labels) bool
        Ground truth. Labels with fewer positives or negatives than `min_positives` are left out.
    scores, minus : (training runs, n, labels)
        `minus` is subtracted in every bootstrap draw, so the difference is paired by record.
    groups : (n,), optional
        Patients: whole patients are drawn. Without groups, records are drawn.
    weights : (resamples, n), optional
        How often each record occurs in resamples drawn earlier. They replace new draws.

    Raises
    ------
    DataError
        The shapes do not fit or a score is not finite.
    """
    y, both = np.asarray(y, bool), [np.asarray(scores, float)]
    both += [] if minus is None else [np.asarray(minus, float)]
    if any(s.ndim != 3 or s.shape[1:] != y.shape or not np.isfinite(s).all() for s in both):
        raise DataError("AUC: for truth (n, labels), give finite scores (runs, n, labels)")
    enough = np.minimum(y.sum(0), (~y).sum(0)) >= max(min_positives, 1)
    if not enough.any():
        return Estimate.none(len(y))
    y, both = y[:, enough], [s[:, :, enough] for s in both]
    codes, value, draws = _codes(len(y), groups), _mean_auc(y, both, np.ones((1, len(y))))[0], []
    for drawn in _drawn(codes, resamples, seed, weights):
        draws.append(_mean_auc(y, both, drawn))
    return Estimate.of(value, np.concatenate(draws), len(y))


def counts_of(drawn: NDArray, n: int) -> NDArray[np.float64]:
    """Count how often each of 0..n-1 was drawn: (resamples, draws) -> (resamples, n)."""
    own = drawn + n * np.arange(len(drawn))[:, None]
    return np.bincount(own.ravel(), minlength=n * len(drawn)).reshape(-1, n).astype(float)


def _codes(n: int, groups: ArrayLike | None) -> NDArray[np.intp]:
    """Return the group number of each record, (n,); without groups each record is its own."""
    if groups is None:
        return np.arange(n)
    return np.unique(np.asarray(groups), return_inverse=True)[1]


def _steps(resamples: int, n: int) -> Iterator[int]:
    """Split resamples into parts that fit in memory."""
    step = max(1, _CHUNK // max(n, 1))
    for start in range(0, resamples, step):
        yield min(step, resamples - start)


def _drawn(
    codes: NDArray, resamples: int, seed: int, weights: ArrayLike | None
) -> Iterator[NDArray]:
    """Draw how often each record occurs, in parts of shape (some resamples, n)."""
    if weights is not None:
        yield np.asarray(weights, float)
        return
    rng, count = np.random.default_rng(seed), int(codes.max()) + 1
    for size in _steps(resamples, len(codes)):
        yield counts_of(rng.integers(0, count, size=(size, count)), count)[:, codes]


def _mean_auc(y: NDArray, both: list[NDArray], weights: NDArray) -> NDArray:
    """Average AUC over labels and runs per row of weights; with two scores, subtract the second."""
    means = []
    for several in both:
        each = []
        for label in range(y.shape[1]):
            for score in several[:, :, label]:
                order = np.argsort(score, kind="stable")
                each.append(weighted_auc(weights[:, order], y[order, label], score[order]))
        means.append(np.mean(each, axis=0))
    return means[0] if len(means) == 1 else means[0] - means[1]


def weighted_auc(weights: NDArray, y: NDArray, score: NDArray) -> NDArray:
    """Return the AUC of each row of weights; NaN if a class is absent. All are sorted by score."""
    starts = np.flatnonzero(np.r_[True, np.diff(score) > 0])  # first record of each tied score
    positive = np.add.reduceat(weights * y, starts, axis=1)
    negative = np.add.reduceat(weights * ~y, starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    wins = (positive * (below + negative / 2)).sum(axis=1)
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return np.divide(wins, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)

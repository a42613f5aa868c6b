"""Table of the arms over random seeds: each seed, mean, range, and differences paired by seed.

Every training run answered the same rows, so differences are paired by question and by seed.
Values are in percent, differences in percentage points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_lib.arm_table import arms_of, comparisons, difference
from ecg_lib.evaluation.differences import AVERAGE, short_types
from ecg_lib.evaluation.random_ecg import DROP, ORIGINAL, VERIFY
from ecg_lib.evaluation.severity_strata import ILL_NO, ILL_YES, WITHIN, strata
from ecg_lib.intervals import Estimate, mean_over_seeds

ASKED, RANDOM, MATCHED, INTERVENTIONAL = "as asked", "random ECG", "matched ECG", "interventional"
MATCHED_DROP = "matched drop"
MEASURES = (ORIGINAL, DROP, MATCHED_DROP, INTERVENTIONAL, WITHIN)
MEAN, RANGE = "mean", "range"
_COLUMNS = ("row", "column", "value", "n", "ci_low", "ci_high")


class Training(Protocol):
    """Fields of a training run that the table reads; see `experiments.arm_seeds.Training`."""

    arm: str
    seed: int
    whole: bool


class Outcomes(Protocol):
    """Rows asked, and which answers were right; see `experiments.arm_seeds.Outcomes`."""

    tests: Mapping[str, pd.DataFrame]
    right: Mapping[Any, Mapping[str, pd.Series]]
    normal: pd.Series
    patients: pd.Series


def seeds_table(outcomes: Outcomes, resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Tabulate arms and their differences by measure and question type, per seed and over seeds.

    On Table 5's rows, the measures are accuracy with the right ECG and the drops with a random and
    a severity-matched one. On the interventional test, they are accuracy over all rows, and
    balanced within the ill.

    Returns
    -------
    DataFrame
        row ("control, drop, seed 1", "..., mean", "..., range", "de-biased - control, drop,
        mean"), column (a question type, or the unweighted "average" of the types), value, n,
        ci_low, ci_high. A seed's interval is over patients, a mean's over patients and seeds. For
        a range, n counts the seeds.
    """
    measured, cells = _Measured(outcomes), []
    by_arm: dict[str, list[Any]] = {
        arm: [run for run in outcomes.right if run.arm == arm]
        for arm in arms_of(run.arm for run in outcomes.right)
    }
    answerers: dict[str, list[tuple[Any, ...]]] = {
        arm.title: [(run,) for run in by_arm[key]] for key, arm in arms_of(by_arm).items()
    }
    for first, second in comparisons(by_arm):
        pairs = zip(by_arm[first.key], by_arm[second.key], strict=True)
        answerers[difference(first, second)] = list(pairs)
    for (who, runs), measure in product(answerers.items(), MEASURES):
        each = [measured.values(measure, *pair) for pair in runs]
        for part in measured.parts(measure):
            groups, values = measured.groups(measure)[part.own], [part.of(one) for one in each]
            names = [seed_name(pair[0].seed, pair[0].whole) for pair in runs]
            told = {name: [one] for name, one in zip(names, values, strict=True)}
            found = {
                of: mean_over_seeds(some, resamples, seed, groups)
                for of, some in (told | {MEAN: values}).items()
            }
            means = [found[of].value for of in told]
            found[RANGE] = Estimate(max(means) - min(means), np.nan, np.nan, len(means))
            cells += [
                {"row": f"{who}, {measure}, {of}", "column": part.column, **estimate.percent()}
                for of, estimate in found.items()
            ]
    return pd.DataFrame(cells, columns=list(_COLUMNS))


def seed_name(seed: int, whole: bool) -> str:
    """Return the name of a seed in the table's rows."""
    return f"seed {seed}" + (" (encoder and LLM too)" if whole else "")


@dataclass(frozen=True)
class _Part:
    """Rows behind a column, with weights that let each group of them count the same."""

    column: str
    own: NDArray[np.bool_]  # (n,)
    weights: NDArray[np.float64]  # (own rows,)

    @classmethod
    def of_groups(cls, column: str, own: NDArray[np.bool_], group: pd.Series) -> _Part:
        """Weight rows so that each value of `group` (n,) counts the same, whatever its size."""
        mine = group[own]
        sizes = mine.map(mine.value_counts())
        return cls(column, own, (len(mine) / (mine.nunique() * sizes)).to_numpy(float))

    def of(self, values: NDArray) -> NDArray:
        """Return weighted values (own rows,); their plain mean is the column's value."""
        return values[self.own] * self.weights


class _Measured:
    """Measures per training run and row, with the rows of each column and their patients."""

    def __init__(self, outcomes: Outcomes):
        self.outcomes = outcomes
        neutral = outcomes.tests[INTERVENTIONAL]
        self.stratum = strata(neutral, outcomes.normal).reset_index(drop=True)

    def values(self, measure: str, run: Training, minus: Training | None = None) -> NDArray:
        """Return (n,) right or not, or the loss with another ECG; minus those of run `minus`."""
        right = {test: own.to_numpy(float) for test, own in self.outcomes.right[run].items()}
        if measure in (DROP, MATCHED_DROP):
            own = right[ASKED] - right[RANDOM if measure == DROP else MATCHED]
        else:
            own = right[_test(measure)]
        return own - self.values(measure, minus) if minus else own

    def groups(self, measure: str) -> NDArray:
        """Return the patient of each row (n,)."""
        rows = self.outcomes.tests[_test(measure)]
        return rows["ecg_id"].str[0].map(self.outcomes.patients).to_numpy()

    def parts(self, measure: str) -> list[_Part]:
        """Return one part per question type, and one for their unweighted average."""
        kinds = short_types(self.outcomes.tests[_test(measure)]).reset_index(drop=True)
        known, group = kinds.isin(VERIFY), kinds
        if measure == WITHIN:
            known &= self.stratum.isin((ILL_YES, ILL_NO))
            group = kinds + self.stratum
        found = [
            _Part.of_groups(kind, own, group)
            for kind in VERIFY
            if (own := (known & (kinds == kind)).to_numpy()).any()
        ]
        if len(found) > 1:
            found.append(_Part.of_groups(AVERAGE, known.to_numpy(), group))
        return found


def _test(measure: str) -> str:
    return INTERVENTIONAL if measure in (INTERVENTIONAL, WITHIN) else ASKED

"""Tables of the ablation study: dose-response, lesions, and the learning-rate search.

Each table has one cell per line. Every training run answered the same rows, so all differences are
paired by question, and by seed where both sides have the same seeds. Values are in percent,
differences in percentage points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from ecg_lib.arm_table import ARMS
from ecg_lib.evaluation.exact_match import HEADLINE
from ecg_lib.intervals import Estimate, difference_over_seeds, mean_over_seeds
from ecg_lib.questions.schema import SHORT_NAMES

ACCURACY, DROP, MATCHED = "interventional accuracy", "drop", "matched drop"
MEASURES = (ACCURACY, DROP, MATCHED)
ALL_SEEDS, BASE = "all seeds", "unchanged"
# Findings measured in mV, which per-lead min-max scaling removes. The axis is not among them: it
# depends on how leads compare.
_VOLTAGE = r"voltage|hypertrophy|overload|low amplitude"
_COLUMNS = ("row", "column", "value", "n", "ci_low", "ci_high")


class Run(Protocol):
    """Fields of a training run that a table reads; see `experiments.ablations.Training`."""

    arm: str
    strength: float
    lesion: str
    seed: int


class Outcomes(Protocol):
    """Rows asked, and which answers were right; see `experiments.ablations.Outcomes`."""

    tests: Mapping[str, pd.DataFrame]
    right: Mapping[Any, Mapping[str, pd.Series]]
    patients: pd.Series


class _Measured:
    """Measures per training run and question, and intervals over them."""

    def __init__(self, outcomes: Outcomes, resamples: int, seed: int):
        self.outcomes, self.resamples, self.seed = outcomes, resamples, seed
        self.runs = list(outcomes.right)
        self.patients = {
            test: rows["ecg_id"].str[0].map(outcomes.patients).to_numpy()
            for test, rows in outcomes.tests.items()
        }

    def values(self, run: Run, measure: str) -> np.ndarray:
        """Return (n,) right or not with the right ECG, or the loss with another one."""
        right = {t: part.to_numpy(float) for t, part in self.outcomes.right[run].items()}
        if measure == ACCURACY:
            return right["interventional"]
        return right["as asked"] - right["random ECG" if measure == DROP else "matched ECG"]

    def groups(self, measure: str) -> np.ndarray:
        return self.patients["interventional" if measure == ACCURACY else "as asked"]

    def mean(self, runs: Sequence[Run], measure: str, own: Any = slice(None)) -> Estimate:
        """Average over runs that differ in their seed; `own` (n,) bool selects questions."""
        values = [self.values(run, measure)[own] for run in runs]
        return mean_over_seeds(values, self.resamples, self.seed, self.groups(measure)[own])

    def difference(
        self, a: Sequence[Run], b: Sequence[Run], measure: str, own: Any = slice(None)
    ) -> Estimate:
        """Average runs `a` minus runs `b` of the same seeds; `own` as in `mean`."""
        first, second = ([self.values(run, measure)[own] for run in runs] for runs in (a, b))
        groups = self.groups(measure)[own]
        return difference_over_seeds(first, second, self.resamples, self.seed, groups)


def dose_response(outcomes: Outcomes, resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Tabulate interventional accuracy and both drops, per arm and strength of `nature`.

    Returns
    -------
    DataFrame
        row ("control, strength 0.33, seed 1" or "..., all seeds"), column (a measure), value, n,
        ci_low, ci_high. The strength is that of the training rows. A single seed's interval is
        over patients only.
    """
    measured, cells = _Measured(outcomes, resamples, seed), []
    runs = [run for run in measured.runs if not run.lesion]
    for (arm, strength), part in _grouped(runs, lambda run: (run.arm, run.strength)).items():
        for name, some in [*((f"seed {r.seed}", [r]) for r in part), (ALL_SEEDS, part)]:
            row = f"{ARMS[arm].title}, strength {strength:.2f}, {name}"
            cells += [_cell(row, measure, measured.mean(some, measure)) for measure in MEASURES]
    return _frame(cells)


def lesions(
    outcomes: Outcomes, arm: str, strength: float, resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Tabulate interventional accuracy per lesion and kind of question, and the difference made.

    A lesion is one change to the arm `arm` trained at `strength`. The difference is its accuracy
    minus that of the unchanged arm.

    Returns
    -------
    DataFrame
        row (a lesion, or "<lesion> - unchanged"), column ("all", "voltage", "axis", "noise",
        "other"), value, n, ci_low, ci_high.
    """
    measured, cells = _Measured(outcomes, resamples, seed), []
    changed = _grouped([run for run in measured.runs if run.lesion], lambda run: run.lesion)
    if not changed:
        return _frame([])
    base = {
        run.seed: run
        for run in measured.runs
        if not run.lesion and (run.arm, run.strength) == (arm, strength)
    }
    kinds = question_groups(outcomes.tests["interventional"])
    asked = {"all": np.ones(len(kinds), bool)}
    asked |= {kind: (kinds == kind).to_numpy() for kind in ("voltage", "axis", "noise", "other")}
    asked = {kind: own for kind, own in asked.items() if own.any()}
    for lesion, part in ({BASE: list(base.values())} | changed).items():
        for kind, own in asked.items():
            cells.append(_cell(lesion, kind, measured.mean(part, ACCURACY, own)))
            if lesion != BASE:
                twins = [base[run.seed] for run in part]
                lost = measured.difference(part, twins, ACCURACY, own)
                cells.append(_cell(f"{lesion} - {BASE}", kind, lost))
    return _frame(sorted(cells, key=lambda cell: cell["row"].endswith(f" - {BASE}")))


def learning_rates(
    scored: Mapping[tuple[str, float], Sequence[pd.DataFrame]],
    used: Mapping[str, float],
    patients: pd.Series,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Tabulate exact match on the development wordings, per arm and stage-2 rate, over seeds.

    Parameters
    ----------
    scored : mapping
        (arm, rate) -> the rows of each seed, as returned by `exact_match.score`.
    used : mapping
        Arm -> the rate it has in this profile.
    patients : Series
        patient_id by ecg_id.

    Returns
    -------
    DataFrame
        row ("control, rate 0.001, best, used"), column ("all types", "range", or a type), value,
        n, ci_low, ci_high; the bootstrap draws patients and seeds. "best" marks the arm's highest
        mean over all types. "range" is the largest minus the smallest value of n seeds.
    """
    cells, means = [], {key: _each(runs).mean() for key, runs in scored.items()}
    for (arm, rate), runs in scored.items():
        of_arm = {r: value for (a, r), value in means.items() if a == arm}
        best = ", best" * (rate == max(of_arm, key=of_arm.__getitem__))
        row = f"{ARMS[arm].title}, rate {rate:g}{best}" + ", used" * (rate == used[arm])
        right, each = _each(runs), _each(runs).mean(axis=1)
        kinds = runs[0]["question_type"].map(SHORT_NAMES)
        groups = runs[0]["ecg_id"].str[0].map(patients)
        for kind in ["all types", *(k for k in SHORT_NAMES.values() if kinds.eq(k).any())]:
            own = (kinds.eq(kind) | (kind == "all types")).to_numpy()
            found = mean_over_seeds(list(right[:, own]), resamples, seed, groups[own])
            cells.append(_cell(row, kind, found))
        spread = Estimate(each.max() - each.min(), np.nan, np.nan, len(runs))
        cells.append(_cell(row, "range", spread))
    return _frame(cells)


def _each(runs: Sequence[pd.DataFrame]) -> np.ndarray:
    """Return (seeds, n) right or not."""
    return np.stack([rows[HEADLINE].to_numpy(float) for rows in runs])


def question_groups(rows: pd.DataFrame) -> pd.Series:
    """Return what each question depends on: "voltage" (mV), "axis", "noise" or "other"."""
    named = rows["attribute"].map(lambda names: "; ".join(names) if names is not None else "")
    voltage = (rows["attribute_type"] == "scp_code") & named.str.contains(_VOLTAGE)
    kind = rows["attribute_type"].map({"heart_axis": "axis", "noise": "noise"}).fillna("other")
    return kind.mask(voltage, "voltage")


def _grouped(runs: Sequence[Run], key: Callable[[Run], Any]) -> dict[Any, list[Run]]:
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return groups


def _cell(row: str, column: str, estimate: Estimate) -> dict[str, Any]:
    return {"row": row, "column": column, **estimate.percent()}


def _frame(cells: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(cells, columns=list(_COLUMNS))

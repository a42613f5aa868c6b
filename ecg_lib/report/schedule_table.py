"""Table of the paper's ablation over learning rates: arms, contrastive decoding, arms' gains.

All arms answered the same rows, so differences are paired by question and seed. Values are in
percent, differences in percentage points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from ecg_lib.arm_table import ARMS, Arm, comparisons, difference
from ecg_lib.evaluation.random_ecg import DROP, ORIGINAL, RANDOM
from ecg_lib.intervals import Estimate, mean_over_seeds
from ecg_lib.report.reference import arm, paper_table

MEASURES = (ORIGINAL, RANDOM, DROP)
ALL_SEEDS = "all seeds"
READ, CONTRASTED = "read", "contrastive decoding"  # two ways to turn scores into answers
_COLUMNS = ("row", "column", "value", "n", "ci_low", "ci_high")


class Training(Protocol):
    """Fields of a training run that the table reads; see `experiments.paper_schedule.Training`."""

    arm: str
    rate: float
    seed: int


class Outcomes(Protocol):
    """Rows asked, and which answers were right; see `experiments.paper_schedule.Outcomes`."""

    asked: pd.DataFrame
    right: Mapping[Any, Mapping[str, Mapping[str, pd.Series]]]
    anchors: Mapping[str, Mapping[str, pd.Series]]
    patients: pd.Series


def schedule_table(outcomes: Outcomes, resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Tabulate accuracy with the right ECG, with a random one, and the drop, per arm and rate.

    Returns
    -------
    DataFrame
        row (an anchor; "control, rate 0.0001"; the same with ", contrastive decoding"; or
        "control - not de-biased, rate 0.0001, seed 1", "..., all seeds"), column (a measure),
        value, n, ci_low, ci_high. The bootstrap draws patients, and seeds if there are several.
    """
    groups = outcomes.asked["ecg_id"].str[0].map(outcomes.patients).to_numpy()
    cells: list[dict[str, object]] = []

    def add(row: str, each: Sequence[Mapping[str, np.ndarray]]) -> None:
        for column in MEASURES:
            values = [measures[column] for measures in each]
            found: Estimate = mean_over_seeds(values, resamples, seed, groups)
            cells.append({"row": row, "column": column, **found.percent()})

    for who, right in outcomes.anchors.items():
        add(who, [_measures(right)])
    for rate in dict.fromkeys(run.rate for run in outcomes.right):
        at_rate = {run: ways for run, ways in outcomes.right.items() if run.rate == rate}
        for way in (READ, CONTRASTED):
            for key in dict.fromkeys(run.arm for run in at_rate):
                row = f"{ARMS[key].title}, rate {rate:g}" + f", {way}" * (way != READ)
                add(row, [_measures(ways[way]) for run, ways in at_rate.items() if run.arm == key])
        found = {(run.arm, run.seed): _measures(ways[READ]) for run, ways in at_rate.items()}
        for first, second in comparisons({key for key, _ in found}):
            gains = {
                of: {m: found[first.key, of][m] - found[second.key, of][m] for m in MEASURES}
                for of in dict.fromkeys(of for _, of in found)
            }
            name = f"{difference(first, second)}, rate {rate:g}"
            for of, gain in gains.items():
                add(f"{name}, seed {of}", [gain])
            add(f"{name}, {ALL_SEEDS}", list(gains.values()))
    return pd.DataFrame(cells, columns=list(_COLUMNS))


def printed_gains(question_type: str = "S-Verify") -> dict[str, float]:
    """Return the gain from de-biasing that the paper's Table 5 prints, in points, by measure."""
    table = paper_table("table5_random_ecg")
    value = table[table["column"] == question_type].set_index("row")["value"]
    gain = {
        measure: float(value[arm(True, measure == RANDOM)] - value[arm(False, measure == RANDOM)])
        for measure in (ORIGINAL, RANDOM)
    }
    return gain | {DROP: gain[ORIGINAL] - gain[RANDOM]}


def gains_of(table: pd.DataFrame, a: Arm, b: Arm, measure: str) -> pd.DataFrame:
    """Return the cells of one comparison and measure, with columns `rate` and `of` (seed) added."""
    parts = (
        table["row"]
        .astype(str)
        .str.extract(rf"^{difference(a, b)}, rate (?P<rate>[^,]+), (?P<of>.*)$")
    )
    own = parts["rate"].notna() & (table["column"] == measure)
    return pd.concat([table, parts], axis=1)[own].astype({"rate": float}).sort_values("rate")


def _measures(right: Mapping[str, pd.Series]) -> dict[str, np.ndarray]:
    own, donor = (right[ecg].to_numpy(float) for ecg in (ORIGINAL, RANDOM))
    return {ORIGINAL: own, RANDOM: donor, DROP: own - donor}

"""Zero-shot AUC of the de-biased arm with each seed, to see how much each label varies."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ecg_lib.arm_table import DEBIASED
from ecg_lib.config import Cohort
from ecg_lib.evaluation import zero_shot
from ecg_lib.experiments.arm_seeds import at_seed, seeds_of
from ecg_lib.experiments.arms import load_arm
from ecg_lib.experiments.llm_experiment import LlmExperiment
from ecg_lib.intervals import Estimate, auc_over_seeds
from ecg_lib.knowledge.zero_shot_labels import zero_shot_targets
from ecg_lib.report.arm_seeds_table import MEAN, RANGE, seed_name

MEAN_OF_LABELS = "mean of labels"


def zero_shot_over_seeds(run: LlmExperiment) -> pd.DataFrame:
    """Return the AUC of each label by P(yes): per seed, their mean and range, by cohort.

    Returns
    -------
    DataFrame
        row ("<cohort>, seed 1", "..., mean", "..., range"), column (a label, or the mean of the
        labels with enough ECGs), value, n, ci_low, ci_high; percent. Intervals are over patients.
        n counts the ECGs with the label; for a range, the seeds; for the mean of labels, the
        labels.
    """
    places = {seed_name(*seed): at_seed(run, *seed) for seed in seeds_of(run.config)}
    cells = []
    for cohort in run.config.data.zero_shot:
        cells += _cells(
            run, cohort, {name: _scores(place, cohort) for name, place in places.items()}
        )
    return pd.DataFrame(cells, columns=["row", "column", "value", "n", "ci_low", "ci_high"])


def _records(run: LlmExperiment, cohort: Cohort) -> pd.DataFrame:
    rows = run.open_store(cohort).records
    return rows[rows["split"] == cohort.split] if cohort.split else rows


def _scores(place: LlmExperiment, cohort: Cohort) -> pd.DataFrame:
    """Return P(yes) of the de-biased arm, (ECGs, labels)."""
    rows, settings = _records(place, cohort), place.config.evaluation
    names = zero_shot.label_text(zero_shot_targets(rows))
    return zero_shot.llm_scores(
        *load_arm(place, DEBIASED.key),
        place.encode(cohort),
        rows["ecg_id"].tolist(),
        names,
        settings.zero_shot_prompt,
        settings.batch_size,
    )


def _cells(run: LlmExperiment, cohort: Cohort, scores: dict[str, pd.DataFrame]) -> list[dict]:
    rows, settings = _records(run, cohort), run.config.evaluation
    targets, cells = zero_shot_targets(rows), []
    by_row: dict[str, list[float]] = {}

    def add(of: str, label: str, found: Estimate) -> None:
        cells.append({"row": f"{cohort.title}, {of}", "column": label, **found.percent()})
        by_row.setdefault(of, []).append(found.value)

    for label in next(iter(scores.values())).columns:
        known = targets[label].notna().to_numpy()
        truth = targets[label][known].to_numpy(dtype=bool)
        groups = rows["patient_id"].to_numpy()[known]
        each = {of: part[label].to_numpy()[known] for of, part in scores.items()}
        drawn = settings.resamples, run.config.seed, settings.min_positives, groups
        found = {of: auc_over_seeds(truth, part, *drawn) for of, part in each.items()}
        found[MEAN] = auc_over_seeds(truth, np.stack(list(each.values())), *drawn)
        values = [found[of].value for of in each]
        found[RANGE] = Estimate(max(values) - min(values), np.nan, np.nan, len(values))
        for of, estimate in found.items():
            add(of, label, estimate)
    for of, values in by_row.items():
        if of != RANGE and not np.isnan(values).all():
            n = int((~np.isnan(values)).sum())
            mean = Estimate(float(np.nanmean(values)), np.nan, np.nan, n)
            cells.append(
                {"row": f"{cohort.title}, {of}", "column": MEAN_OF_LABELS, **mean.percent()}
            )
    return cells

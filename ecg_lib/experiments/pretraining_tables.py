"""Tables of the pretraining study: which start is better for contrastive pretraining."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from ecg_lib.config import Evaluation
from ecg_lib.config_check import SCRATCH, SIMULATED, SIMULATED_ONLY
from ecg_lib.evaluation.study_answers import SUPERCLASSES, TASKS, Answers, Split
from ecg_lib.experiments.controls import LABELS_ONLY, RANDOM
from ecg_lib.intervals import macro_auc

BOOSTING = "boosting on hand features"
TOGETHER, EVERYTHING = "seeds together", "seeds and normalisations together"
Models = Mapping[tuple[str, str], Sequence[Answers]]  # (start, normalisation) -> one per seed


def together(models: Sequence[Answers]) -> Answers:
    """Combine the answers of several models into one ensemble: their mean ranks, draw by draw."""
    shared = [cell for cell in models[0] if all(cell in model for model in models)]
    return {
        cell: np.mean([rankdata(model[cell], axis=1) for model in models], axis=0)
        for cell in shared
    }


def rows_of(models: Models, boosting: Answers) -> dict[str, list[Answers]]:
    """Return the rows of the table: single models by start and normalisation, then ensembles."""
    rows = {f"{start}, {scaled}": list(seeds) for (start, scaled), seeds in models.items()}
    by_start: dict[str, list[Answers]] = {}
    for (start, scaled), seeds in models.items():
        by_start.setdefault(start, []).extend(seeds)
        if len(seeds) > 1:
            rows[f"{start}, {scaled}, {TOGETHER}"] = [together(seeds)]
    for start, every in by_start.items():
        if len({scaled for own, scaled in models if own == start}) > 1:
            rows[f"{start}, {EVERYTHING}"] = [together(every)]
    if SIMULATED in by_start:
        rows[f"{SIMULATED}, all of it and boosting together"] = [
            together([together(by_start[SIMULATED]), boosting])
        ]
    return rows | {BOOSTING: [boosting]}


def differences_of(models: Models, boosting: Answers) -> dict[str, tuple[list, list]]:
    """Return the rows that are differences, each with the models of both sides."""
    pairs = {}
    for scaled in dict.fromkeys(scaled for _, scaled in models):
        further = list(models.get((SIMULATED, scaled), []))
        for other in (SCRATCH, SIMULATED_ONLY, RANDOM, LABELS_ONLY) if further else ():
            if (other, scaled) in models:
                less = list(models[other, scaled])
                pairs[f"{SIMULATED} minus {other}, {scaled}"] = (further, less)
        if further:
            pairs[f"{SIMULATED} minus boosting, {scaled}"] = (further, [boosting])
    every = [model for (start, _), seeds in models.items() if start == SIMULATED for model in seeds]
    if len(every) > 1:
        pairs[f"{SIMULATED}, all of it together, minus boosting"] = ([together(every)], [boosting])
    return pairs


def study_cells(
    models: Models, boosting: Answers, split: Split, settings: Evaluation, seed: int
) -> pd.DataFrame:
    """Return the cells of `pretraining_study.csv`: macro AUC of the superclasses, percent.

    A value is the mean over seeds and draws; intervals are over test patients. A row with several
    seeds is followed by its lowest and its highest seed.
    """

    def cell(row: str, name: str, plus: list[Answers], minus: list[Answers] | None = None) -> dict:
        key = (SUPERCLASSES, name)
        scores = np.concatenate([one[key] for one in plus])
        less = None if minus is None else np.concatenate([one[key] for one in minus])
        truth, drawn = split.truth(SUPERCLASSES), _drawn(split, settings, seed)
        found = macro_auc(truth, scores, less, *drawn)
        return {"row": row, "column": name, **found.percent()}

    cells = []
    for row, trained in rows_of(models, boosting).items():
        for name in _columns(trained):
            cells.append(cell(row, name, trained))
            if len(trained) == 1:
                continue
            each = [cell("", name, [one])["value"] for one in trained]
            for word, value in (("lowest", min(each)), ("highest", max(each))):
                seed_row = {"row": f"{row}, {word} seed", "column": name, "value": value}
                cells.append(seed_row | {"n": len(split.test)})
    for row, (plus, minus) in differences_of(models, boosting).items():
        cells += [
            cell(row, name, plus, minus) for name in _columns(plus) if name in _columns(minus)
        ]
    return pd.DataFrame(cells)


def finding_cells(
    models: Models, boosting: Answers, split: Split, settings: Evaluation, seed: int
) -> pd.DataFrame:
    """Return the cells of `pretraining_findings.csv`: AUC (percent) per superclass and finding.

    Rows are labels, columns "<start>, <normalisation>, <reading>"; n counts test ECGs with the
    label.
    """
    sources = {f"{start}, {scaled}": list(seeds) for (start, scaled), seeds in models.items()}
    cells = []
    for labels in TASKS:
        truth = split.truth(labels)
        for source, trained in (sources | {BOOSTING: [boosting]}).items():
            for name in _columns(trained, "findings"):
                scores = np.concatenate([one[labels, name] for one in trained])
                for k, label in enumerate(truth):
                    own = truth[[label]], scores[:, :, [k]], None
                    found = macro_auc(*own, *_drawn(split, settings, seed)).percent()
                    row = f"superclass {label}" if labels == SUPERCLASSES else label
                    cell = {"row": row, "column": f"{source}, {name}", **found}
                    cells.append(cell | {"n": int(truth[label].sum())})
    return pd.DataFrame(cells)


def _drawn(split: Split, settings: Evaluation, seed: int) -> tuple:
    """Return the arguments with which `macro_auc` draws test patients."""
    return settings.resamples, seed, settings.min_positives, split.patients[split.test]


def _columns(trained: Sequence[Answers], of: str = SUPERCLASSES) -> list[str]:
    return [name for labels, name in trained[0] if labels == of]

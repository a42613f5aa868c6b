"""Read the cohorts of a profile from their sources into prepared stores (notebook 01)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecg_lib.data import prepare
from ecg_lib.data.store import EcgStore

if TYPE_CHECKING:
    from ecg_lib.config import Cohort
    from ecg_lib.experiments.experiment import Experiment


def prepare_cohort(run: Experiment, cohort: Cohort) -> EcgStore:
    """Read a cohort's source into its store, or open the store if the source is unchanged."""
    config = run.config
    options: dict[str, Any] = {}
    root = None
    if cohort.source == prepare.SIMULATED:
        options = {
            "patients": cohort.patients,
            "noise": cohort.noise,
            "seed": config.seed + cohort.seed,
        }
    else:
        root = prepare.find_cohort(config.data.root, cohort.source)
        options = {"method": config.signal.resampler}
        if cohort.source == "ptbxl" and config.questions.ecgqa:
            options["ecgqa_root"] = prepare.find_cohort(config.data.root, "ecgqa")
    return prepare.prepare(
        cohort.source,
        root,
        run.store_folder(cohort),
        workers=config.data.workers,
        reuse=True,
        rate=config.signal.rate,
        **options,
    )


def prepare_cohorts(run: Experiment) -> dict[str, EcgStore]:
    """Prepare all cohorts of a profile, by title; cohorts with the same title only once."""
    config = run.config
    cohorts = [config.data.pretraining, config.data.questions, *config.data.zero_shot]
    return {
        title: prepare_cohort(run, cohort)
        for title, cohort in {c.title: c for c in cohorts}.items()
    }

"""Read the cohorts of a profile from their sources into prepared stores (notebook 01)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecg_lib.data import prepare
from ecg_lib.data.store import EcgStore
from ecg_lib.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from ecg_lib.config import Cohort, Config
    from ecg_lib.experiments.experiment import Experiment


def source_folder(config: Config, name: str) -> Path:
    """Return the folder of a cohort (or of "ecgqa") below the profile's data root.

    Raises
    ------
    DataError
        The profile has no data root, or the cohort is not below it.
    """
    if not config.data.root:
        raise DataError(f"{name}: data.root is empty; set it to the folder of your data sets")
    return prepare.find_cohort(config.data.root, name)


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
        root = source_folder(config, cohort.source)
        options = {"method": config.signal.resampler}
        if cohort.source == "ptbxl" and config.questions.ecgqa:
            options["ecgqa_root"] = source_folder(config, "ecgqa")
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

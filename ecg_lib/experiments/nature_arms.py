"""Arms trained in the world `nature`, where a question hints at its answer (studies/nature)."""

from __future__ import annotations

import pandas as pd

from ecg_lib.arm_table import arms_of
from ecg_lib.config import vary
from ecg_lib.experiments.arms import run_stages, stage1_rows
from ecg_lib.experiments.llm_experiment import LlmExperiment


def in_nature(run: LlmExperiment) -> LlmExperiment:
    """Return the run with the questions of the world `nature`; its arms lie below `nature`.

    Patients, encoder, language model and aligned projector are the run's own.

    Raises
    ------
    ConfigError
        An entry of `nature.settings` names an unknown field or has an impossible value.
    """
    settings = ["questions.world=nature", *run.config.nature.settings]
    return run.below("nature", config=vary(run.config, settings, "nature.settings"))


def train_arms(run: LlmExperiment, train: pd.DataFrame) -> None:
    """Train the arms of `nature.arms` through their stages, or load them.

    Parameters
    ----------
    train : DataFrame
        Question rows drawn by `nature`, from which stage 1 selects the rows of each arm.
    """
    shown = stage1_rows(train, run.normal, run.config.seed)
    for stage in ("stage1", "stage2"):
        staged = arms_of(run.config.nature.arms, stage)
        run_stages(run, stage, {arm: shown[arm] if stage == "stage1" else train for arm in staged})

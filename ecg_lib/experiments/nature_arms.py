"""Arms trained in the world `nature`, where a question tells of its answer (studies/nature)."""

from __future__ import annotations

import pandas as pd

from ecg_lib.arm_table import arms_of
from ecg_lib.config import vary
from ecg_lib.experiments.arms import run_stages, stage1_rows
from ecg_lib.experiments.llm_experiment import LlmExperiment


def in_nature(run: LlmExperiment) -> LlmExperiment:
    """The run with the questions of the world `nature`; its arms lie below `nature`.

    Patients, encoder, language model and aligned projector are the run's own.

    Raises
    ------
    ConfigError
        `nature.settings` name no field, or give it an impossible value.
    """
    settings = ["questions.world=nature", *run.config.nature.settings]
    return run.below("nature", config=vary(run.config, settings, "nature.settings"))


def train_arms(run: LlmExperiment, train: pd.DataFrame) -> None:
    """Train the arms of `nature.arms` through their stages, or load them.

    Parameters
    ----------
    train : question rows that `nature` asked; stage 1 shows each arm its choice of them
    """
    shown = stage1_rows(train, run.normal, run.config.seed)
    for stage in ("stage1", "stage2"):
        staged = arms_of(run.config.nature.arms, stage)
        run_stages(run, stage, {arm: shown[arm] if stage == "stage1" else train for arm in staged})

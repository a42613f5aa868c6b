"""Learning-rate search for stage 2, with the same budget for every arm (notebooks 05, ablations).

An arm trained at a wrong rate looks worse than it is, which can be mistaken for an effect of the
ablation. Every arm therefore tries the same rates with the same seeds, starting from its own stage
1, and is judged on the development wordings, never on the test. Nothing is chosen here: the profile
names the rates it uses, and the table shows whether they are the best.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from tqdm import tqdm

from ecg_lib.arm_table import ARMS, arms_of
from ecg_lib.ecg_llm.answering import answer_rows
from ecg_lib.evaluation import exact_match
from ecg_lib.experiments.arms import answer_arm, of_arm, run_stage, stage1_rows, stage_folder
from ecg_lib.training.cache import key_of, train_or_load, version_of

if TYPE_CHECKING:
    from ecg_lib.config import Config
    from ecg_lib.experiments.llm_experiment import LlmExperiment

Scored = dict[tuple[str, float], list[pd.DataFrame]]


def tried(
    config: Config, rates: Sequence[float], arms: Iterable[str] | None = None
) -> dict[str, list[float]]:
    """Return the rates of each arm: those searched and the one that the profile uses.

    Parameters
    ----------
    arms : iterable of str, optional
        By default the profile's arms; those without a stage 2 have no rate.
    """
    trained = arms_of(config.arms if arms is None else arms, "stage2")
    return {arm: sorted({*rates, of_arm(config.stage2, arm).learning_rate}) for arm in trained}


def by_seed(run: LlmExperiment) -> list[LlmExperiment]:
    """Return the run itself and one run below `rates` per further fine-tuning seed."""
    further = [
        run.below("rates", f"seed-{seed}", config=replace(run.config, seed=seed))
        for seed in run.config.study.rate_seeds
    ]
    return [run, *further]


def search_rates(
    runs: Sequence[LlmExperiment],
    rates: Sequence[float],
    train: pd.DataFrame,
    asked: pd.DataFrame,
    arms: Iterable[str] | None = None,
) -> Scored:
    """Train every arm at every rate with every seed and score its answers, or load them.

    Parameters
    ----------
    runs : sequence of LlmExperiment
        One per seed, alike in all but seed and folder. An arm at the rate in use lies in that
        folder itself; other rates lie below its `rates`.
    train, asked : DataFrame
        Question rows to train on, and rows in development wordings to answer.

    Returns
    -------
    dict of (arm, rate) to list of DataFrame
        For each seed, rows as `exact_match.score` returns them.
    """
    found = tried(runs[0].config, rates, arms)
    todo = [(arm, rate) for arm, each in found.items() for rate in each]
    scored: Scored = {key: [] for key in todo}
    for (arm, rate), run in tqdm([*product(todo, runs)], desc="rates"):
        if ARMS[arm].stage1:
            shown = stage1_rows(train, run.normal, run.config.seed)[arm]
            run_stage(run, "stage1", arm, shown, say=None)
        scored[arm, rate].append(_scored(run, arm, rate, train, asked))
    return scored


def _scored(
    run: LlmExperiment, arm: str, rate: float, train: pd.DataFrame, asked: pd.DataFrame
) -> pd.DataFrame:
    own, stage2 = run, run.config.stage2
    if rate != of_arm(stage2, arm).learning_rate:  # otherwise it is the arm itself
        changed = replace(run.config, stage2=replace(stage2, learning_rates={arm: rate}))
        own = run.below("rates", f"{rate:g}", config=changed)
    before = stage_folder(run, "stage1", arm)
    run_stage(own, "stage2", arm, train, say=None, first=before)
    key = key_of(
        answer_rows,
        model=version_of(stage_folder(own, "stage2", arm)),
        asked=pd.util.hash_pandas_object(asked.astype(str), index=False).tolist(),
    )

    def ask(folder: Path) -> None:
        answer_arm(own, arm, asked).to_parquet(folder / "answers.parquet")

    answers = run.checkpoints("rates", "answers", f"{arm}-{rate:g}")
    said = pd.read_parquet(train_or_load(answers, key, ask, say=None) / "answers.parquet")
    return exact_match.score(said["prediction"], asked)

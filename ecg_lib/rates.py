"""The learning-rate search of stage 2: the same budget for every arm. Step for notebook 05.

An arm that trains at the wrong rate fakes an effect of what it lacks. Each arm therefore tries the
same rates from where its stage 1 left it, and is judged on the development wordings, never on the
test. Nothing is chosen here: the profile names the rates it uses, and the table shows whether they
are the best.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from ecg_lib.arms import ARMS, answer_arm, of_arm, run_stage, stage_folder, version_of
from ecg_lib.config import Config
from ecg_lib.evaluation import exact_match
from ecg_lib.features import EcgTokens
from ecg_lib.models.clip import EcgClip
from ecg_lib.paths import checkpoints_dir
from ecg_lib.training.fingerprint import code_version, fingerprint, train_or_load


def tried(config: Config) -> dict[str, list[float]]:
    """The rates of each arm: those of `study.rates`, and the one that the profile uses."""
    if not config.study.rates:
        return {}
    return {arm: sorted({*config.study.rates, of_arm(config.stage2, arm).learning_rate})
            for arm in ARMS}


def search_rates(config: Config, train: pd.DataFrame, asked: pd.DataFrame, tokens: EcgTokens,
                 clip: EcgClip, llm: Path | str) -> dict[tuple[str, float], pd.DataFrame]:
    """Train every arm at every rate and ask it, or load what it answered.

    Parameters
    ----------
    train, asked : question rows; the second ones of development wordings.

    Returns
    -------
    dict: (arm, rate) -> rows as `exact_match.score` gives them; empty where the profile tries none.
    """
    home = checkpoints_dir(config.profile) / "rates"
    home.mkdir(parents=True, exist_ok=True)  # a declared output of notebook 05
    todo = [(arm, rate) for arm, rates in tried(config).items() for rate in rates]
    return {(arm, rate): _scored(config, arm, rate, train, asked, tokens, clip, llm)
            for arm, rate in tqdm(todo, desc="rates")} if todo else {}


def _scored(config: Config, arm: str, rate: float, train: pd.DataFrame, asked: pd.DataFrame,
            tokens: EcgTokens, clip: EcgClip, llm: Path | str) -> pd.DataFrame:
    own = config
    if rate != of_arm(config.stage2, arm).learning_rate:  # else the arm itself
        own = replace(config, profile=f"{config.profile}/rates/{rate:g}",
                      stage2=replace(config.stage2, learning_rates={arm: rate}))
    run_stage(own, "stage2", arm, train, tokens, clip, llm, say=None,
              first=stage_folder(config, "stage1", arm))
    key = fingerprint(model=version_of(stage_folder(own, "stage2", arm)),
                      asked=pd.util.hash_pandas_object(asked.astype(str), index=False).tolist(),
                      code=code_version("evaluation/answering.py"))

    def ask(folder: Path) -> None:
        answer_arm(own, arm, asked, tokens).to_parquet(folder / "answers.parquet")

    place = checkpoints_dir(config.profile) / "rates" / "answers" / f"{arm}-{rate:g}"
    said = pd.read_parquet(train_or_load(place, key, ask, say=None) / "answers.parquet")
    return exact_match.score(said["prediction"], asked)

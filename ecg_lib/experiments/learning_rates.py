"""The learning-rate search of stage 2: the same budget for every arm. Step for notebooks 05 and 08.

An arm that trains at the wrong rate fakes an effect of what it lacks. Each arm therefore tries the
same rates with the same seeds, from where its stage 1 left it, and is judged on the development
wordings, never on the test. Nothing is chosen here: the profile names the rates it uses, and the
table shows whether they are the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from ecg_lib.closure import code_hash
from ecg_lib.config import Config
from ecg_lib.ecg_llm.answering import answer_rows
from ecg_lib.encoders.token_cache import EcgTokens
from ecg_lib.evaluation import exact_match
from ecg_lib.experiments.arms import (
    ARMS,
    answer_arm,
    of_arm,
    run_stage,
    stage1_rows,
    stage_folder,
    version_of,
)
from ecg_lib.objectives.parts.clip import EcgClip
from ecg_lib.paths import checkpoints_dir
from ecg_lib.training.cache import fingerprint, train_or_load

Scored = dict[tuple[str, float], list[pd.DataFrame]]


def tried(config: Config, arms: Sequence[str] = ARMS) -> dict[str, list[float]]:
    """The rates of each arm: those of `study.rates`, and the one that the profile uses."""
    if not config.study.rates:
        return {}
    return {
        arm: sorted({*config.study.rates, of_arm(config.stage2, arm).learning_rate}) for arm in arms
    }


def by_seed(config: Config) -> list[Config]:
    """The profile itself, and with each further seed of fine-tuning, below `rates`."""
    further = [
        replace(config, seed=seed, profile=f"{config.profile}/rates/seed-{seed}")
        for seed in config.study.seeds
    ]
    return [config, *further]


def search_rates(
    places: Sequence[Config],
    arms: Sequence[str],
    train: pd.DataFrame,
    asked: pd.DataFrame,
    normal: pd.Series,
    tokens: EcgTokens,
    clip: EcgClip,
    llm: Path | str,
) -> Scored:
    """Train every arm at every rate with every seed and ask it, or load what it answered.

    Parameters
    ----------
    places : the configuration of each seed, alike in all but seed and folder. An arm at the rate
        in use lies in that folder itself; other rates lie below its `rates`.
    train, asked : question rows; the second ones of development wordings.
    normal : bool by ecg_id, of every ECG of the cohort.

    Returns
    -------
    dict: (arm, rate) -> for each seed, rows as `exact_match.score` gives them; empty where the
    profile tries none.
    """
    home = checkpoints_dir(places[0].profile) / "rates"
    home.mkdir(parents=True, exist_ok=True)  # a declared output of notebook 05
    todo = [(arm, rate) for arm, rates in tried(places[0], arms).items() for rate in rates]
    scored: Scored = {key: [] for key in todo}
    for (arm, rate), place in tqdm([*product(todo, places)] if todo else [], desc="rates"):
        if arm != "none":
            shown = stage1_rows(train, normal, place.seed)[arm]
            run_stage(place, "stage1", arm, shown, tokens, clip, llm, say=None)
        scored[arm, rate].append(_scored(place, arm, rate, train, asked, tokens, clip, llm))
    return scored


def _scored(
    place: Config,
    arm: str,
    rate: float,
    train: pd.DataFrame,
    asked: pd.DataFrame,
    tokens: EcgTokens,
    clip: EcgClip,
    llm: Path | str,
) -> pd.DataFrame:
    own = place
    if rate != of_arm(place.stage2, arm).learning_rate:  # else the arm itself
        own = replace(
            place,
            profile=f"{place.profile}/rates/{rate:g}",
            stage2=replace(place.stage2, learning_rates={arm: rate}),
        )
    run_stage(
        own,
        "stage2",
        arm,
        train,
        tokens,
        clip,
        llm,
        say=None,
        first=stage_folder(place, "stage1", arm),
    )
    key = fingerprint(
        model=version_of(stage_folder(own, "stage2", arm)),
        asked=pd.util.hash_pandas_object(asked.astype(str), index=False).tolist(),
        code=code_hash(answer_rows),
    )

    def ask(folder: Path) -> None:
        answer_arm(own, arm, asked, tokens).to_parquet(folder / "answers.parquet")

    answers = checkpoints_dir(place.profile) / "rates" / "answers" / f"{arm}-{rate:g}"
    said = pd.read_parquet(train_or_load(answers, key, ask, say=None) / "answers.parquet")
    return exact_match.score(said["prediction"], asked)

"""A study: the profile's arms with further seeds, to see how much of their differences is chance.

Fine-tuning seeds share encoder, language model and questions with the profile. A whole seed has its
own encoder and language model; the latter must pass the reading gate of notebook 04 before an arm
is trained on it. All runs answer the same rows. Everything is cached by fingerprint below
`checkpoints/<profile>/arm_seeds`, so that an interrupted study resumes where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from ecg_lib.arm_table import ARMS, arms_of
from ecg_lib.config import Config
from ecg_lib.ecg_llm.answering import answer_rows
from ecg_lib.evaluation import exact_match, random_ecg
from ecg_lib.experiments.aligning import align_projector
from ecg_lib.experiments.arms import answer_arm, run_stages, stage1_rows, stage_folder
from ecg_lib.experiments.encoder_pretraining import pretrain_encoder
from ecg_lib.experiments.language_model import held_to_gate, llm_of_profile
from ecg_lib.experiments.llm_experiment import LlmExperiment
from ecg_lib.experiments.stand_ins import interventional_rows
from ecg_lib.report.arm_seeds_table import ASKED, INTERVENTIONAL, MATCHED, RANDOM
from ecg_lib.training.cache import key_of, train_or_load, version_of


@dataclass(frozen=True)
class Training:
    """One fine-tuning run: an arm with one seed."""

    arm: str
    seed: int
    whole: bool = False  # the seed is used for encoder and language model as well


@dataclass(frozen=True)
class Outcomes:
    """Which answers were right; `right[training][test]` has the index of `tests[test]`."""

    tests: Mapping[str, pd.DataFrame]
    right: Mapping[Training, Mapping[str, pd.Series]]
    normal: pd.Series  # by ecg_id
    patients: pd.Series  # by ecg_id
    reads: Mapping[int, str]  # whole seed -> a sentence on how well its language model reads


def trainings(config: Config) -> list[Training]:
    """List every fine-tuning run of the study, arms in the order of their table."""
    return [
        Training(arm, *seed)
        for seed, arm in product(seeds_of(config), arms_of(config.arm_seeds.arms))
    ]


def seeds_of(config: Config) -> list[tuple[int, bool]]:
    """Return the profile's own seed and the further ones, and whether each is a whole seed."""
    study = config.arm_seeds
    fine_tuned = [(seed, False) for seed in (config.seed, *study.seeds)]
    return [*fine_tuned, *((seed, True) for seed in study.whole_seeds)]


def asked_rows(run: LlmExperiment, train: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows that every run answers.

    These are Table 5's rows with three ECGs each (the original, a random donor's and one as ill),
    and the interventional test.

    Parameters
    ----------
    train : DataFrame
        Training rows. If questions are built, the interventional test uses only theirs.
    """
    rows = run.test_rows()
    verify = rows[rows["question_type"].str.endswith("verify")].reset_index(drop=True)
    records, seed = run.store.records, run.config.seed
    return {
        ASKED: verify,
        RANDOM: random_ecg.donors(verify, records, seed),
        MATCHED: random_ecg.donors(verify, records, seed, match="normal"),
        INTERVENTIONAL: interventional_rows(run, train),
    }


def run_seeds(
    run: LlmExperiment, train: pd.DataFrame, tests: Mapping[str, pd.DataFrame]
) -> Outcomes:
    """Train every arm with every seed and collect its answers, or load them.

    Raises
    ------
    DataError
        The language model of a whole seed is below `llm.reading_gate`.
    """
    todo, reads = trainings(run.config), {}
    right: dict[Training, Mapping[str, pd.Series]] = {}
    seeds = dict.fromkeys((one.seed, one.whole) for one in todo)
    ready = {seed: at_seed(run, seed, whole) for seed, whole in seeds}
    for seed, whole in seeds:  # before any arm: a language model that cannot read stops the study
        if whole:
            _foundation(ready[seed])
            reads[seed] = held_to_gate(ready[seed], ready[seed].llm)
    for seed, place in tqdm(ready.items(), desc="seeds"):
        own = [one for one in todo if one.seed == seed]
        _train(place, [one.arm for one in own], train)
        for one in own:
            right[one] = _answered(place, one.arm, tests)
    return Outcomes(tests, right, run.normal, run.patients, reads)


def at_seed(run: LlmExperiment, seed: int, whole: bool) -> LlmExperiment:
    """Return the run of one seed; a whole seed has its own encoder and language model."""
    if seed == run.config.seed:
        return run
    place = run.below("arm_seeds", f"seed-{seed}", config=replace(run.config, seed=seed))
    return replace(place, encoder_home=None, llm_home=None) if whole else place


def _foundation(place: LlmExperiment) -> None:
    """Train or load the encoder and the language model of a whole seed."""
    pretrain_encoder(place, place.open_store(place.config.data.pretraining))
    llm_of_profile(place)


def _train(place: LlmExperiment, arms: list[str], train: pd.DataFrame) -> None:
    if place.config.alignment.epochs:
        align_projector(place, say=None)
    shown = stage1_rows(train, place.normal, place.config.seed)
    for stage in ("stage1", "stage2"):
        staged = arms_of(arms, stage)
        run_stages(
            place, stage, {arm: shown[arm] if stage == "stage1" else train for arm in staged}
        )


def _answered(
    place: LlmExperiment, arm: str, tests: Mapping[str, pd.DataFrame]
) -> dict[str, pd.Series]:
    """Collect or load an arm's answers and return whether each is right, by test."""
    stage = "stage2" if ARMS[arm].stages else "alignment"
    key = key_of(
        answer_rows,
        exact_match.score,
        model=version_of(stage_folder(place, stage, arm)),
        tests=[
            pd.util.hash_pandas_object(t.astype(str), index=False).tolist() for t in tests.values()
        ],
    )

    def ask(folder: Path) -> None:
        said = {test: answer_arm(place, arm, rows)["prediction"] for test, rows in tests.items()}
        frames = [
            exact_match.score(said[test], rows)[[exact_match.HEADLINE]].assign(test=test)
            for test, rows in tests.items()
        ]
        pd.concat(frames).to_parquet(folder / "answers.parquet")

    folder = train_or_load(place.checkpoints("arm_seeds", "answers", arm), key, ask, say=None)
    saved = pd.read_parquet(folder / "answers.parquet")
    return {test: saved.loc[saved["test"] == test, exact_match.HEADLINE] for test in tests}

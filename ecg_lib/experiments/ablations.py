"""A study: many small fine-tuning runs beside the arms, for dose-response and lesions.

Each run changes some settings of the profile and answers the same test rows. It uses the profile's
own encoder and LLM unless its settings change them. Everything is cached by fingerprint below
`checkpoints/<profile>/study`, so that an interrupted study resumes where it stopped.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import product
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from ecg_lib.arm_table import ARMS, PLAIN
from ecg_lib.closure import code_hash
from ecg_lib.config import Config, vary
from ecg_lib.config_studies import Surgery
from ecg_lib.ecg_llm.answering import answer_rows
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.encoders.token_cache import EcgTokens
from ecg_lib.errors import ConfigError
from ecg_lib.evaluation import exact_match, random_ecg
from ecg_lib.experiments import learning_rates, variants
from ecg_lib.experiments.aligning import alignment_key, begin_aligned
from ecg_lib.experiments.arms import (
    load_arm,
    of_arm,
    run_stage,
    stage1_rows,
    stage_folder,
)
from ecg_lib.experiments.encoder_pretraining import pretrain_encoder
from ecg_lib.experiments.llm_experiment import LlmExperiment
from ecg_lib.experiments.question_sets import built_questions
from ecg_lib.questions.build import paired_test
from ecg_lib.questions.schema import sample_rows
from ecg_lib.training.cache import fingerprint, key_of, train_or_load, version_of

LESION_ARM = PLAIN.key  # trained in one stage only, so that nothing but the lesion differs
INTERVENTIONAL, ASKED, RANDOM, MATCHED = "interventional", "as asked", "random ECG", "matched ECG"
_SEES = ("encoder", "text_encoder", "start", "objective", "signal")  # what determines the encoder
_LESION = (*_SEES, "lora", "stage2", "study")
_SETTINGS = (*_SEES, "lora", "questions", "stage1", "stage2", "evaluation")


@dataclass(frozen=True)
class Training:
    """One fine-tuning run and how it differs; `folder` is below `checkpoints/<profile>/study`."""

    folder: str
    config: Config = field(compare=False)
    arm: str
    strength: float
    lesion: str = ""

    @property
    def seed(self) -> int:
        """The random seed of the run."""
        return self.config.seed


@dataclass(frozen=True)
class Outcomes:
    """Which answers of each fine-tuning run were right, and the rows that all of them answered.

    `right[training][test]` is a boolean Series with the index of `tests[test]`.
    """

    tests: Mapping[str, pd.DataFrame]
    right: Mapping[Training, Mapping[str, pd.Series]]
    patients: pd.Series  # by ecg_id

    def __len__(self) -> int:
        return len(self.right)


def base_of(config: Config) -> Config:
    """Return the profile with the settings that all runs of its study share."""
    base = vary(config, config.study.settings, "study.settings")
    _only(_SETTINGS, config, base, "study.settings")
    return base


def trainings(config: Config) -> list[Training]:
    """List every run of a profile's study once; none if it names no arm and no lesion."""
    study, base = config.study, base_of(config)
    own = base.questions.strength
    seeds = [config.seed, *study.seeds]
    doses = sorted({*study.strengths, own}) if study.arms else []
    if study.strengths and base.questions.world != "nature":
        raise ConfigError(
            f"study.strengths: the world {base.questions.world!r} has no strength; set "
            "questions.world=nature in study.settings"
        )
    found = [_dose(base, dose, seed, arm) for dose, seed, arm in product(doses, seeds, study.arms)]
    for title, overrides in study.lesions.items():
        where = f"study.lesions.{title}"
        varied = vary(base, overrides, where)
        _only(_LESION, base, varied, where)
        name = "lesion-" + re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        for seed in seeds:
            found += [
                _dose(base, own, seed, LESION_ARM),
                Training(
                    f"{name}/seed-{seed}", replace(varied, seed=seed), LESION_ARM, own, lesion=title
                ),
            ]
    return list({(one.folder, one.arm): one for one in found}.values())


def _only(allowed: Collection[str], before: Config, after: Config, where: str) -> None:
    changed = [
        f.name
        for f in fields(Config)
        if getattr(before, f.name) != getattr(after, f.name) and f.name not in allowed
    ]
    if changed:
        raise ConfigError(
            f"{where}: {changed[0]} cannot be varied here (the study would ignore "
            f"it); vary only {', '.join(allowed)}"
        )


def _dose(base: Config, strength: float, seed: int, arm: str) -> Training:
    questions = replace(base.questions, strength=strength)
    return Training(
        f"strength-{strength:.3f}/seed-{seed}",
        replace(base, seed=seed, questions=questions),
        arm,
        strength,
    )


def training_rows(run: LlmExperiment, training: Training) -> pd.DataFrame:
    """Return the training rows, drawn with the profile's own seed so that all seeds share them."""
    drawn = replace(training.config, seed=run.config.seed)
    return built_questions(drawn, run.store)["train"]


def fixed_rows(run: LlmExperiment, asked: Collection[int]) -> dict[str, pd.DataFrame]:
    """Return the test rows that every run of the study answers.

    Parameters
    ----------
    asked : collection of int
        question_ids in the training rows of all runs; other questions are left out.

    Returns
    -------
    dict of str to DataFrame
        `INTERVENTIONAL`: each question with equally many yes and no ECGs. `ASKED`: yes/no
        questions of the profile's test split, as its world asks them. `RANDOM`, `MATCHED`: the
        same with the ECGs of donors, drawn at random or as ill as the original.
    """
    config, base = run.config, base_of(run.config)
    neutral = paired_test(
        run.store.records,
        config.study.per_answer,
        config.seed,
        base.questions.templates or None,
        asked=set(asked),
    )
    as_asked = built_questions(base, run.store)["test"]
    verify = as_asked["question_type"].str.endswith("verify")
    as_asked = as_asked[verify & as_asked["question_id"].isin(set(asked))]
    as_asked = sample_rows(as_asked, config.study.test_rows, config.seed)
    records = run.store.records[["ecg_id", "patient_id", "split", "normal"]]
    return {
        INTERVENTIONAL: neutral,
        ASKED: as_asked,
        RANDOM: random_ecg.donors(as_asked, records, config.seed),
        MATCHED: random_ecg.donors(as_asked, records, config.seed, match="normal"),
    }


def run_study(run: LlmExperiment) -> Outcomes:
    """Train everything that the profile's study names and collect the answers, or load them."""
    todo = trainings(run.config)
    rows: dict[str, pd.DataFrame] = {}
    for training in todo:
        if (key := repr(training.config.questions)) not in rows:
            rows[key] = training_rows(run, training)
    asked = set.intersection(*(set(part["question_id"]) for part in rows.values()))
    tests, right = fixed_rows(run, asked), {}
    ready: dict[str, LlmExperiment] = {}
    for training in tqdm(todo, desc="study"):
        home = home_of(run, training)
        if home not in ready:
            ready[home] = foundation(run, training)
        shown = rows[repr(training.config.questions)]
        right[training] = train_and_ask(run, training, shown, ready[home], tests)
    return Outcomes(tests, right, run.patients)


def search_short_rates(run: LlmExperiment) -> learning_rates.Scored:
    """Search the learning rates of the study's own arms, which have fewer rows and steps.

    The search uses the study's own strength; the other strengths share its rates.
    """
    study, base = run.config.study, base_of(run.config)
    each = [
        _dose(base, base.questions.strength, seed, LESION_ARM)
        for seed in (run.config.seed, *study.rate_seeds)
    ]
    rows, built_on = built_questions(base, run.store), foundation(run, each[0])
    places = [_at(run, training, built_on) for training in each]
    return learning_rates.search_rates(
        places, study.short_rates, rows["train"], rows["dev"], study.arms
    )


def home_of(run: LlmExperiment, training: Training) -> str:
    """Return the folder of a run's encoder; "" for the profile's own, which is not retrained."""
    sees = [getattr(training.config, section) for section in _SEES]
    if sees == [getattr(run.config, section) for section in _SEES]:
        return ""
    values = training.config.as_dict()
    return "encoder-" + fingerprint(sees=[values[name] for name in _SEES])["sees"][:8]


def foundation(run: LlmExperiment, training: Training) -> LlmExperiment:
    """Return a run with the encoder and tokens that `training` builds on, trained if needed."""
    home = home_of(run, training)
    if not home:
        return run
    own = run.below("study", home, config=replace(training.config, seed=run.config.seed))
    own = replace(own, encoder_home=None)
    pretrain_encoder(own, own.open_store(own.config.data.pretraining))
    return own


def _at(run: LlmExperiment, training: Training, built_on: LlmExperiment) -> LlmExperiment:
    """Return the experiment of one fine-tuning run, with its own configuration and folder."""
    own = built_on.below(config=training.config)
    return replace(own, home=run.checkpoints("study", training.folder))


def train_and_ask(
    run: LlmExperiment,
    training: Training,
    rows: pd.DataFrame,
    built_on: LlmExperiment,
    tests: Mapping[str, pd.DataFrame],
) -> dict[str, pd.Series]:
    """Train one run, or load its answers, and return by test whether they are right."""
    own = _at(run, training, built_on)
    operated = own.config.study.surgery != Surgery()
    if operated:
        made_of = _operated_key(own, training.arm, rows)
    else:
        for stage in ARMS[training.arm].stages:
            shown = rows
            if stage == "stage1":
                shown = stage1_rows(rows, run.normal, training.seed)[training.arm]
            run_stage(own, stage, training.arm, shown, say=None)
        made_of = fingerprint(model=version_of(stage_folder(own, "stage2", training.arm)))
    key = made_of | key_of(
        answer_rows,
        exact_match.score,
        tests=[_digest(part) for part in tests.values()],
    )

    def ask(folder: Path) -> None:
        if operated:
            model, processor, ecgs = _operated(own, training.arm, rows, folder)
        else:
            (model, processor), ecgs = load_arm(own, training.arm), own.tokens
        settings = own.config.evaluation
        said = {
            test: answer_rows(
                model, processor, part, ecgs, settings.batch_size, settings.max_new_tokens
            )["prediction"]
            for test, part in tests.items()
        }
        frames = [
            exact_match.score(said[test], part)[["prediction", exact_match.HEADLINE]].assign(
                test=test
            )
            for test, part in tests.items()
        ]
        pd.concat(frames).to_parquet(folder / "answers.parquet")

    folder = run.checkpoints("study", training.folder, "answers", training.arm)
    saved = pd.read_parquet(train_or_load(folder, key, ask, say=None) / "answers.parquet")
    return {test: saved.loc[saved["test"] == test, exact_match.HEADLINE] for test in tests}


def _operated_key(own: LlmExperiment, arm: str, rows: pd.DataFrame) -> dict[str, str]:
    config = own.config
    stage = of_arm(config.stage2, arm)
    return fingerprint(
        params=[config.seed, asdict(stage), asdict(config.lora), asdict(config.study.surgery)],
        rows=_digest(rows),
        llm=version_of(own.llm),
        tokens=(own.tokens.folder / "encoded.json").read_text(),
        trained_by=code_hash(variants.train),
        alignment=alignment_key(own),
    )


def _operated(
    own: LlmExperiment, arm: str, rows: pd.DataFrame, folder: Path
) -> tuple[EcgLlm, EcgLlmProcessor, EcgTokens | variants.Signals]:
    """Build an ECG-LLM with the changes of `study.surgery` and train it on the rows."""
    config, encoder = own.config, own.clip.ecg_encoder
    changes = config.study.surgery

    def begin(model: EcgLlm, processor: EcgLlmProcessor) -> None:
        begin_aligned(own, model, processor, folder)

    model, processor = variants.build(
        encoder, own.llm, config.lora, config.llm.dtype, config.seed, changes, begin
    )
    ecgs = variants.Signals(own.store, encoder) if changes.train_encoder else own.tokens
    stage = of_arm(config.stage2, arm)
    variants.train(model, processor, rows, ecgs, stage, folder, config.seed)
    return model, processor, ecgs


def _digest(rows: pd.DataFrame) -> list[int]:
    return pd.util.hash_pandas_object(rows.astype(str), index=False).tolist()

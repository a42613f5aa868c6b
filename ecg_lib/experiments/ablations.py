"""Many small trainings beside the four arms: dose-response, seeds, lesions. Steps for notebook 08.

Each training varies the profile in what it names and is asked the same test rows. The encoder and
the LLM are the profile's own wherever a variation leaves them alone. Everything is cached by
fingerprint below `checkpoints/<profile>/study`, so an interrupted study goes on where it was.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import product
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from ecg_lib.closure import code_hash
from ecg_lib.config import Config, Surgery, vary
from ecg_lib.data.store import EcgStore
from ecg_lib.ecg_llm.answering import answer_rows
from ecg_lib.encoders.token_cache import EcgTokens, encode_store
from ecg_lib.errors import ConfigError
from ecg_lib.evaluation import exact_match, random_ecg
from ecg_lib.experiments import learning_rates, variants
from ecg_lib.experiments.arms import (
    load_arm,
    of_arm,
    run_stage,
    stage1_rows,
    stage_folder,
    version_of,
)
from ecg_lib.experiments.reading import held_to_gate, language_model
from ecg_lib.experiments.rivals import llm_of
from ecg_lib.experiments.workflow import (
    built_questions,
    load_clip,
    open_store,
    pretrain_encoder,
    sample_rows,
)
from ecg_lib.objectives.parts.clip import EcgClip
from ecg_lib.paths import checkpoints_dir
from ecg_lib.questions.build import paired_test
from ecg_lib.training.cache import fingerprint, train_or_load

LESION_ARM = "none"  # one stage of training: the cheapest arm, and nothing but the lesion differs
INTERVENTIONAL, ASKED, RANDOM, MATCHED = "interventional", "as asked", "random ECG", "matched ECG"
_SEES = ("encoder", "text_encoder", "contrastive", "signal")  # what an encoder is trained by
_LESION = (*_SEES, "lora", "stage2", "study")
_SETTINGS = (*_SEES, "lora", "questions", "stage1", "stage2", "evaluation")


@dataclass(frozen=True)
class Run:
    """One training and what it differs in; `folder` is below `checkpoints/<profile>/study`."""

    folder: str
    config: Config = field(compare=False)
    arm: str
    strength: float
    whole: bool = False  # the seed is that of encoder and LLM as well
    lesion: str = ""

    @property
    def seed(self) -> int:
        return self.config.seed


@dataclass(frozen=True)
class Foundation:
    """What a training builds on: encoder, its tokens of every ECG, LLM and how well that reads."""

    clip: EcgClip
    tokens: EcgTokens
    llm: Path | str
    reads: str = ""


@dataclass(frozen=True)
class Outcomes:
    """Which answers of each training were right, and the rows that all were asked.

    `right[run][test]` is a boolean Series with the index of `tests[test]`.
    """

    tests: Mapping[str, pd.DataFrame]
    right: Mapping[Run, Mapping[str, pd.Series]]
    patients: pd.Series  # by ecg_id
    reads: Mapping[int, str] = field(default_factory=dict)  # seed: of the language model it has

    def __len__(self) -> int:
        return len(self.right)


def base_of(config: Config) -> Config:
    """The profile with the settings that all trainings of its study share."""
    base = vary(config, config.study.settings, "study.settings")
    _only(_SETTINGS, config, base, "study.settings")
    return base


def trainings(config: Config) -> list[Run]:
    """Every training of a profile's study, each once; none where it names no arm and no lesion."""
    study, base = config.study, base_of(config)
    own = base.questions.confounding
    seeds = [config.seed, *study.seeds]
    doses = sorted({*study.strengths, own}) if study.arms else []
    found = [_dose(base, dose, seed, arm) for dose, seed, arm in product(doses, seeds, study.arms)]
    for seed, arm in product(study.whole_seeds, study.arms):
        found.append(Run(f"whole-seed-{seed}", replace(base, seed=seed), arm, own, whole=True))
    for title, overrides in study.lesions.items():
        where = f"study.lesions.{title}"
        varied = vary(base, overrides, where)
        _only(_LESION, base, varied, where)
        name = "lesion-" + re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        for seed in seeds:
            found += [
                _dose(base, own, seed, LESION_ARM),
                Run(
                    f"{name}/seed-{seed}", replace(varied, seed=seed), LESION_ARM, own, lesion=title
                ),
            ]
    return list({(run.folder, run.arm): run for run in found}.values())


def _only(allowed: Collection[str], before: Config, after: Config, where: str) -> None:
    changed = [
        f.name
        for f in fields(Config)
        if getattr(before, f.name) != getattr(after, f.name) and f.name not in allowed
    ]
    if changed:
        raise ConfigError(
            f"{where}: {changed[0]} cannot be varied here (the study would not see "
            f"it); vary {', '.join(allowed)}"
        )


def _dose(base: Config, strength: float, seed: int, arm: str) -> Run:
    questions = replace(base.questions, confounding=strength)
    return Run(
        f"strength-{strength:.3f}/seed-{seed}",
        replace(base, seed=seed, questions=questions),
        arm,
        strength,
    )


def training_rows(config: Config, run: Run, store: EcgStore) -> pd.DataFrame:
    """Training rows of a run: drawn by the profile's own seed, so that seeds share their rows."""
    return built_questions(replace(run.config, seed=config.seed), store)["train"]


def fixed_rows(config: Config, store: EcgStore, asked: Collection[int]) -> dict[str, pd.DataFrame]:
    """The rows that every training of the study is asked.

    Parameters
    ----------
    asked : question_ids that every training has met.

    Returns
    -------
    dict: for each question as many yes as no ECGs; the questions of the profile's test split as
    severity asks them; these with the ECGs of donors, random and as ill.
    """
    base, study = base_of(config), config.study
    neutral = paired_test(
        store.records,
        study.per_answer,
        config.seed,
        base.questions.templates or None,
        asked=set(asked),
    )
    as_asked = built_questions(base, store)["test"]
    verify = as_asked["question_type"].str.endswith("verify")
    as_asked = as_asked[verify & as_asked["question_id"].isin(set(asked))]
    as_asked = sample_rows(as_asked, study.test_rows, config.seed)
    records = store.records[["ecg_id", "patient_id", "split", "normal"]]
    return {
        INTERVENTIONAL: neutral,
        ASKED: as_asked,
        RANDOM: random_ecg.donors(as_asked, records, config.seed),
        MATCHED: random_ecg.donors(as_asked, records, config.seed, match="normal"),
    }


def run_study(config: Config, store: EcgStore) -> Outcomes:
    """Train and ask everything that the profile's study names, or load it.

    Raises
    ------
    DataError
        The language model of a whole seed is below ``llm.reading_gate``.
    """
    patients = store.records.set_index("ecg_id")["patient_id"]
    # a declared output of notebook 08, whether or not the profile has a study
    _below(config, "").mkdir(parents=True, exist_ok=True)
    todo = trainings(config)
    if not todo:
        return Outcomes({}, {}, patients)
    rows: dict[str, pd.DataFrame] = {}
    for run in todo:
        if (key := repr(run.config.questions)) not in rows:
            rows[key] = training_rows(config, run, store)
    asked = set.intersection(*(set(part["question_id"]) for part in rows.values()))
    tests, right = fixed_rows(config, store, asked), {}
    whole = {home_of(config, run): run for run in todo if run.whole}
    # first of all: a language model that cannot read stops the study
    ready = {home: foundation(config, run, store) for home, run in whole.items()}
    reads = {run.seed: ready[home].reads for home, run in whole.items()}
    for run in tqdm(todo, desc="study"):
        home = home_of(config, run)
        if home not in ready:
            ready[home] = foundation(config, run, store)
        right[run] = train_and_ask(
            config, run, rows[repr(run.config.questions)], ready[home], tests, store
        )
    return Outcomes(tests, right, patients, reads)


def search_rates(config: Config, store: EcgStore) -> learning_rates.Scored:
    """The search of `rates` for the study's own arms, which have fewer rows and steps.

    At the profile's own confounding; the other strengths have its rates.
    """
    study, base = config.study, base_of(config)
    if not (study.arms and study.short_rates):
        return {}
    runs = [
        _dose(base, base.questions.confounding, seed, LESION_ARM)
        for seed in (config.seed, *study.seeds)
    ]
    rows, built_on = built_questions(base, store), foundation(config, runs[0], store)
    places = [
        replace(_at(config, run.config, run.folder), study=replace(study, rates=study.short_rates))
        for run in runs
    ]
    normal = store.records.set_index("ecg_id")["normal"]
    return learning_rates.search_rates(
        places,
        study.arms,
        rows["train"],
        rows["dev"],
        normal,
        built_on.tokens,
        built_on.clip,
        built_on.llm,
    )


def home_of(config: Config, run: Run) -> str:
    """Where the encoder of a run lies; "" for the profile's own, which is never trained again."""
    if run.whole:
        return run.folder
    sees, own = ([c.as_dict()[section] for section in _SEES] for c in (run.config, config))
    return "" if sees == own else "encoder-" + fingerprint(sees=sees)["sees"][:8]


def foundation(config: Config, run: Run, store: EcgStore) -> Foundation:
    """Encoder, tokens and LLM of a run: the profile's own, or trained for it."""
    home, own, features = home_of(config, run), config, checkpoints_dir(config.profile) / "features"
    if home:  # fine-tuning seeds share the encoder: its seed is the profile's, or a whole one
        own = _at(config, replace(run.config, seed=run.seed if run.whole else config.seed), home)
        pretrain_encoder(own, open_store(config, config.data.pretraining))
        features = _below(config, home) / "features"
    clip, _ = load_clip(own)
    tokens = encode_store(store, clip.ecg_encoder, features / config.data.questions.folder)
    if not run.whole:
        return Foundation(clip, tokens, llm_of(config))
    whole = replace(_at(config, config, home), seed=run.seed)  # practice and gate as in notebook 04
    llm = language_model(whole, store)
    return Foundation(clip, tokens, llm, held_to_gate(whole, store, llm))


def _below(config: Config, folder: str) -> Path:
    return checkpoints_dir(config.profile) / "study" / folder


def _at(config: Config, varied: Config, folder: str) -> Config:
    """A varied configuration whose checkpoints lie below the profile's study."""
    return replace(varied, profile=f"{config.profile}/study/{folder}")


def train_and_ask(
    config: Config,
    run: Run,
    rows: pd.DataFrame,
    built_on: Foundation,
    tests: Mapping[str, pd.DataFrame],
    store: EcgStore,
) -> dict[str, pd.Series]:
    """Train a run and ask it the test rows, or load what it answered; test -> right or not."""
    own, key = _at(config, run.config, run.folder), {}
    operated = run.config.study.surgery != Surgery()
    if operated:
        stage = of_arm(own.stage2, run.arm)
        key = fingerprint(
            params=[own.seed, asdict(stage), asdict(own.lora), asdict(own.study.surgery)],
            rows=_digest(rows),
            llm=version_of(built_on.llm),
            tokens=(built_on.tokens.folder / "encoded.json").read_text(),
            trained_by=code_hash(variants.train),
        )
    else:
        normal = store.records.set_index("ecg_id")["normal"]
        for stage in ("stage1", "stage2")[run.arm == "none" :]:
            shown = rows if stage == "stage2" else stage1_rows(rows, normal, run.seed)[run.arm]
            run_stage(
                own, stage, run.arm, shown, built_on.tokens, built_on.clip, built_on.llm, say=None
            )
        key = fingerprint(model=version_of(stage_folder(own, "stage2", run.arm)))
    key |= fingerprint(
        tests=[_digest(part) for part in tests.values()],
        code=code_hash(answer_rows, exact_match.score),
    )

    def ask(folder: Path) -> None:
        ecgs = built_on.tokens
        if operated:
            encoder, changes = built_on.clip.ecg_encoder, own.study.surgery
            model, processor = variants.build(
                encoder, built_on.llm, own.lora, own.llm.dtype, own.seed, changes
            )
            ecgs = variants.Signals(store, encoder) if changes.train_encoder else ecgs
            variants.train(model, processor, rows, ecgs, stage, folder, own.seed)
        else:
            model, processor = load_arm(own, run.arm)
        said = {
            test: answer_rows(
                model,
                processor,
                part,
                ecgs,
                own.evaluation.batch_size,
                own.evaluation.max_new_tokens,
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

    folder = train_or_load(_below(config, run.folder) / "answers" / run.arm, key, ask, say=None)
    saved = pd.read_parquet(folder / "answers.parquet")
    return {test: saved.loc[saved["test"] == test, exact_match.HEADLINE] for test in tests}


def _digest(rows: pd.DataFrame) -> list[int]:
    return pd.util.hash_pandas_object(rows.astype(str), index=False).tolist()

"""Checks of a configuration beyond its types."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ecg_lib.arm_table import ALIGNED, ARMS, DEBIASED
from ecg_lib.config_limits import check_limits
from ecg_lib.errors import ConfigError, DataError
from ecg_lib.evaluation.label_prompt import check_prompt
from ecg_lib.questions import worlds

if TYPE_CHECKING:
    from ecg_lib.config import Cohort, Config

_OF_ARMS = ("learning_rates", "ablations", "nature", "arm_seeds", "paper_schedule")  # studies
SCRATCH, SIMULATED, SIMULATED_ONLY = STARTS = ("scratch", "simulated", "simulated only")


def check(config: Config, where: str) -> None:
    """Check that the values of a configuration are possible and fit together.

    Parameters
    ----------
    config : Config
        The configuration.
    where : str
        The origin of the values, for error messages.

    Raises
    ------
    ConfigError
        A value is impossible, alone or in combination with another.
    """
    check_limits(config.as_dict(), where)
    if config.signal.normalisation not in ("lead_minmax", "record_minmax", "mv"):
        raise ConfigError(
            f"{where}: signal.normalisation is {config.signal.normalisation!r}; "
            "choose lead_minmax, record_minmax or mv"
        )
    if config.signal.resampler not in ("fft", "polyphase"):
        raise ConfigError(f"{where}: signal.resampler must be fft or polyphase")
    _check_encoder(config, where)
    if config.questions.world not in worlds.names():
        raise ConfigError(
            f"{where}: questions.world is {config.questions.world!r}; "
            f"choose one of {', '.join(worlds.names())}"
        )
    if not 0 <= config.questions.strength <= 1:
        raise ConfigError(f"{where}: questions.strength must lie between 0 and 1")
    if not (config.questions.built or config.questions.ecgqa):
        raise ConfigError(
            f"{where}: questions.built and questions.ecgqa are both off; set one to true"
        )
    _check_llm(config, where)
    _check_text_encoder(config, where)
    _check_arms(config, where)
    _check_rates(config, where)
    _check_objectives(config, where)
    _check_start(config, where)
    _check_pretraining_study(config, where)
    _check_study(config, where)
    _check_arm_seeds(config, where)
    _check_paper_schedule(config, where)
    _check_kmerl(config, where)
    _check_asked(config, where)
    try:
        check_prompt(config.evaluation.zero_shot_prompt, "evaluation.zero_shot_prompt")
    except DataError as error:
        raise ConfigError(f"{where}: {error}") from error
    cohorts = [config.data.pretraining, config.data.questions, *config.data.zero_shot]
    _check_titles(cohorts, where)
    if not config.data.root and any(cohort.source != "simulated" for cohort in cohorts):
        raise ConfigError(
            f"{where}: data.root is empty; name the folder of your data sets, e.g. "
            f"`make paper PROFILE={config.profile} DATA=/path/to/data`"
        )


def _check_titles(cohorts: Sequence[Cohort], where: str) -> None:
    """Refuse two different cohorts whose titles name one store."""
    first: dict[str, Cohort] = {}
    for cohort in cohorts:
        known = first.setdefault(cohort.folder, cohort)
        if dataclasses.replace(known, title=cohort.title, split=cohort.split) != cohort:
            raise ConfigError(
                f"{where}: data: the titles {known.title!r} and {cohort.title!r} stand for "
                f"different cohorts but name one store, {cohort.folder}; rename one"
            )


def _check_encoder(config: Config, where: str) -> None:
    """Check the encoder's settings with its own config, and its tokens with any LLM's projector."""
    from ecg_lib import encoders  # importing torch and transformers takes seconds
    from ecg_lib.ecg_llm.projector import Projector

    name = str(config.encoder.get("name"))
    _check_module(name, f"{where}: encoder.name")
    try:
        tokens = encoders.configure(name, config.encoder, config.ecg_input()).tokens
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    if not config.arms:  # no LLM reads the tokens
        return
    try:
        Projector.slots(tokens)
    except ValueError as error:
        raise ConfigError(
            f"{where}: {error}; change encoder.patch or another field that sets the number of "
            f"tokens of {name}"
        ) from error


def _check_llm(config: Config, where: str) -> None:
    llm = config.llm
    if llm.practised and llm.name_or_path is None:
        raise ConfigError(
            f"{where}: llm.practice and llm.reading_adapter are for a named LLM, but "
            "llm.name_or_path is null; name one, or set practice to false and reading_adapter to "
            "null (the tiny LLM practises anyway)"
        )
    if llm.practice and (llm.rows < 1 or llm.batch_size < 1 or llm.pack < 1):
        raise ConfigError(
            f"{where}: llm.practice needs llm.rows, llm.batch_size and llm.pack of at least 1"
        )


def _check_text_encoder(config: Config, where: str) -> None:
    from ecg_lib.encoders.sentence_vectors import MEAN, POOLINGS  # importing torch takes seconds
    from ecg_lib.objectives.objective import settings
    from ecg_lib.objectives.parts.clip_text import ClipSettings

    text = config.text_encoder
    if text.pooling not in POOLINGS:
        raise ConfigError(
            f"{where}: text_encoder.pooling is {text.pooling!r}; choose {', '.join(POOLINGS)}"
        )
    if text.pooling == MEAN and not text.centre:
        return
    if text.name_or_path is None or text.trainable:
        raise ConfigError(
            f"{where}: text_encoder.pooling and centre are for a pretrained encoder that stays as "
            "it is; name one and set trainable to false, or set pooling to mean and centre to false"
        )
    if isinstance(settings(config.objective, f"{where}: objective"), ClipSettings):
        raise ConfigError(
            f"{where}: text_encoder.pooling and centre are for objectives that read kept vectors "
            f"of texts, but {config.objective['name']} averages tokens at every step; set pooling "
            "to mean and centre to false"
        )


def _check_arms(config: Config, where: str) -> None:
    studied = {"study.arms": config.study.arms, "nature.arms": config.nature.arms}
    for name, asked in {"arms": config.arms, **studied}.items():
        unknown = sorted(set(asked) - set(ARMS))
        if unknown:
            raise ConfigError(f"{where}: {name} has {unknown[0]!r}; choose from {', '.join(ARMS)}")
    unarmed = [stage for stage in _OF_ARMS if config.stages.get(stage)]
    if not config.arms and unarmed:
        raise ConfigError(
            f"{where}: arms is empty, but stages.{unarmed[0]} asks for a study of arms; add "
            f"{DEBIASED.key!r} to arms, or set stages.{unarmed[0]} to []"
        )
    if config.arms and DEBIASED.key not in config.arms:
        raise ConfigError(f"{where}: arms lacks {DEBIASED.key!r}, the paper's model; add it")
    for name, asked in studied.items():
        still = [key for key in asked if not ARMS[key].stages]
        if still:
            raise ConfigError(f"{where}: {name} has {still[0]!r}, which no stage trains; drop it")
    if ALIGNED.key in config.arms and not config.alignment.epochs:
        raise ConfigError(
            f"{where}: arms has {ALIGNED.key!r}, but alignment.epochs is 0; set it, or drop the arm"
        )


def _check_rates(config: Config, where: str) -> None:
    for stage in ("stage1", "stage2"):
        for arm, rate in getattr(config, stage).learning_rates.items():
            if arm not in ARMS or not rate > 0:
                raise ConfigError(
                    f"{where}: {stage}.learning_rates has {arm}: {rate:g}; name an arm "
                    f"of {', '.join(ARMS)} and give a rate above 0"
                )
        apart = getattr(config, stage).projector_rate
        if apart is not None and not apart > 0:
            raise ConfigError(
                f"{where}: {stage}.projector_rate is {apart:g}; give a rate above 0, or null to "
                f"use {stage}.learning_rate"
            )
    if config.alignment.epochs < 0 or not config.alignment.learning_rate > 0:
        raise ConfigError(
            f"{where}: alignment needs a learning_rate above 0, and epochs of 0 (none) or more"
        )
    for name in ("rates", "short_rates"):
        if not all(rate > 0 for rate in getattr(config.study, name)):
            raise ConfigError(f"{where}: every rate in study.{name} must be above 0")


def _check_objectives(config: Config, where: str) -> None:
    from ecg_lib.objectives.objective import settings  # importing torch takes seconds

    study, arms = config.pretraining_study, config.kmerl.arms
    for section, values in (
        *((f"kmerl.arms.{key}.objective", arm.objective) for key, arm in arms.items()),
        ("objective", config.objective),
        ("simulated.objective", config.simulated.objective),
        ("pretraining_study.objective", study.objective),
        ("pretraining_study.further", {**study.objective, **study.further}),
    ):
        _check_module(str(values.get("name", "")), f"{where}: {section}.name")
        settings(values, f"{where}: {section}")


def _check_module(name: str, named: str) -> None:
    """Refuse a name that could be no module, such as a path."""
    if not all(part.isidentifier() for part in name.split(".")) and name:
        raise ConfigError(f"{named} is {name!r}; give a name, or the dotted path of a module")


def _check_start(config: Config, where: str) -> None:
    trained = config.simulated
    if config.start not in (SCRATCH, SIMULATED):
        raise ConfigError(f"{where}: start is {config.start!r}; choose {SCRATCH} or {SIMULATED}")
    if config.start == SCRATCH:
        return
    if config.signal.normalisation not in trained.normalisations or not trained.seeds:
        raise ConfigError(
            f"{where}: start is {SIMULATED}, but simulated trains no encoder with "
            f"{config.signal.normalisation}; add it to simulated.normalisations, and a seed to "
            "simulated.seeds"
        )
    own, given = config.objective.get("width"), trained.objective.get("width")
    if own is not None and own != given:
        raise ConfigError(
            f"{where}: objective.width is {own}, but the encoder it starts from has "
            f"simulated.objective.width {given}; make them equal"
        )


def _check_pretraining_study(config: Config, where: str) -> None:
    study, named = config.pretraining_study, f"{where}: pretraining_study"
    unknown = set(study.starts) - set(STARTS)
    if unknown:
        raise ConfigError(f"{named}.starts has {min(unknown)!r}; choose from {', '.join(STARTS)}")
    if not all(0 < fraction <= 1 for fraction in study.fractions) or study.draws < 1:
        raise ConfigError(f"{named}: fractions must be above 0 and up to 1, and draws at least 1")
    for name in ("seeds", "normalisations") if study.seeds and study.starts != [SCRATCH] else ():
        untrained = set(getattr(study, name)) - set(getattr(config.simulated, name))
        if untrained:
            raise ConfigError(
                f"{named}.{name} has {min(untrained)!r}, which simulated.{name} "
                "lacks, so there is no encoder to start from; add it there"
            )


def _check_asked(config: Config, where: str) -> None:
    """Check that each study that a profile asks for has runs, so that no table is empty."""
    needed = {
        "learning_rates": ("study.rates",),
        "ablations": ("study.arms", "study.short_rates", "study.lesions"),
        "pretraining_study": ("pretraining_study.seeds",),
        "nature": ("nature.arms",),
        "arm_seeds": ("arm_seeds.arms", "arm_seeds.seeds"),
        "paper_schedule": ("paper_schedule.rates",),
        "kmerl": ("kmerl.arms", "kmerl.lead_sets"),
    }
    for stage, names in needed.items():
        for name in names if config.stages.get(stage) else ():
            section, _, field = name.partition(".")
            if not getattr(getattr(config, section), field):
                raise ConfigError(
                    f"{where}: stages.{stage} asks for a study, but {name} is empty; "
                    f"fill it, or set stages.{stage} to []"
                )


def _check_study(config: Config, where: str) -> None:
    study = config.study
    if not all(0 <= strength <= 1 for strength in study.strengths):
        raise ConfigError(f"{where}: study.strengths must lie between 0 and 1")
    for name in ("seeds", "rate_seeds"):
        _check_seeds(config, getattr(study, name), f"{where}: study.{name}")
    if (study.arms or study.lesions) and not config.questions.built:
        raise ConfigError(
            f"{where}: study needs questions built from labels; set questions.built, "
            "or empty study.arms and study.lesions"
        )
    if config.stages.get("nature") and not config.questions.built:
        raise ConfigError(f"{where}: nature needs questions built from labels; set questions.built")
    if study.surgery.projector_layers < 1:
        raise ConfigError(f"{where}: study.surgery.projector_layers must be at least 1")


def _check_arm_seeds(config: Config, where: str) -> None:
    study, named = config.arm_seeds, f"{where}: arm_seeds"
    _check_seeds(config, [*study.seeds, *study.whole_seeds], f"{named}.seeds or whole_seeds")
    further = sorted(set(study.arms) - set(config.arms))
    if further:
        raise ConfigError(f"{named}.arms has {further[0]!r}, which arms lacks; add it there")


def _check_seeds(config: Config, seeds: Sequence[int], named: str) -> None:
    if len({config.seed, *seeds}) <= len(seeds):
        raise ConfigError(
            f"{named} repeats a seed (the profile's own is {config.seed}); name each once"
        )


def _check_paper_schedule(config: Config, where: str) -> None:
    study, named = config.paper_schedule, f"{where}: paper_schedule"
    if not all(rate > 0 for rate in study.rates):
        raise ConfigError(f"{named}.rates must all be above 0")
    _check_seeds(config, study.seeds, f"{named}.seeds")
    if study.rates and not config.questions.built:
        raise ConfigError(
            f"{named} needs questions built from labels; set questions.built, or empty rates"
        )


def _check_kmerl(config: Config, where: str) -> None:
    """Check encoders and lead sets of K-MERL's arms (`_check_objectives`: their objectives)."""
    from ecg_lib import encoders  # importing torch and transformers takes seconds
    from ecg_lib.evaluation.task import load_task
    from ecg_lib.signal.lead_sets import lead_set

    of = config.kmerl
    for key, arm in of.arms.items():
        named = f"{where}: kmerl.arms.{key}"
        if not key.replace("_", "").isalnum():
            raise ConfigError(f"{named}: name it by letters, digits and _; it names a folder")
        _check_module(str(arm.encoder.get("name")), f"{named}.encoder.name")
        try:
            reads = config.ecg_input(arm.normalisation)
            encoders.configure(str(arm.encoder.get("name")), arm.encoder, reads)
        except ConfigError as error:
            raise ConfigError(f"{named}: {error}") from error
    for name, sets in (("lead_sets", of.lead_sets), ("fill_sets", of.fill_sets)):
        for text in sets:
            try:
                lead_set(text)
            except ValueError as error:
                raise ConfigError(f"{where}: kmerl.{name}: {error}") from error
    if of.arms:
        if len(set(of.seeds)) < max(1, len(of.seeds)):
            raise ConfigError(f"{where}: kmerl.seeds is {of.seeds}; give at least one, each once")
        try:
            load_task(f"{of.task}.yaml")
        except DataError as error:
            raise ConfigError(f"{where}: kmerl.task: {error}") from error

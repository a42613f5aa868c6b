"""Typed, validated, read-only configuration that Hydra composes from a profile of `conf/`.

`params.yaml` holds the composed profile; `conf/config.yaml` gives the reasons for the values.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ecg_lib import paths
from ecg_lib.config_check import check
from ecg_lib.config_studies import ArmSeeds, Kmerl, Nature, PaperSchedule, Study
from ecg_lib.config_yaml import read_yaml
from ecg_lib.disk import write_file
from ecg_lib.errors import ConfigError, EcgLibError
from ecg_lib.typed import typed

if TYPE_CHECKING:
    from ecg_lib.encoders.base import EcgInput

_MOST_OVERRIDE = 10_000  # characters of KEY=VALUE
_SHOWN = 200  # characters of an error
_PRACTICE = frozenset({"practice", "reading_adapter"})  # fields of `Llm`
_POOLED = frozenset({"pooling", "centre"})  # fields of `TextEncoder`


@dataclass(frozen=True)
class Cohort:
    """Where ECGs come from: a simulated cohort or a folder of real ones."""

    source: str = "simulated"  # a name known to ecg_lib.data.prepare
    title: str = "Simulated"  # name of its rows in tables
    patients: int = 0  # simulated only: number of patients
    noise: float = 1.0  # simulated only: noise amplitude, 1 = as in clinical ECGs
    seed: int = 0  # simulated only: added to the profile's seed
    split: str = ""  # evaluate on this split only; "" = every ECG

    @property
    def folder(self) -> str:
        """Name of the prepared store; cohorts with the same title share a store."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True)
class Data:
    """The cohorts of a profile."""

    root: str | None = None  # folder with the source data sets; null for simulated ECGs
    workers: int = 1
    pretraining: Cohort = field(default_factory=Cohort)  # ECG-report pairs for the encoder
    questions: Cohort = field(default_factory=Cohort)  # ECGs that questions are asked about
    zero_shot: list[Cohort] = field(default_factory=list)


@dataclass(frozen=True)
class Signal:
    """Sampling rate and preprocessing of the ECGs."""

    rate: int = 100  # Hz; stores with different rates can coexist
    normalisation: str = "lead_minmax"  # lead_minmax | record_minmax | mv
    resampler: str = "fft"  # fft | polyphase


@dataclass(frozen=True)
class Questions:
    """Questions to build from labels or to read from ECG-QA."""

    built: bool = True  # build questions from the cohort's labels
    ecgqa: bool = False  # read ECG-QA's own rows whose ECGs are available; also beside `built`
    templates: list[int] = field(default_factory=list)  # ECG-QA template ids to build; [] = all
    world: str = "ecgqa"  # which ECGs get which questions: a file of ecg_lib/questions/worlds
    strength: float = 1.0  # effect of severity on who is asked in `nature`, 0..1; 0 = do(question)
    per_answer: int = 24  # maximum yes rows per question in train; ECG-QA: 100
    per_answer_test: int = 8  # the same in valid, dev and test; ECG-QA: 20
    comparisons: float | None = None  # cap on comparisons relative to the others; ECG-QA: 0.5


@dataclass(frozen=True)
class TextEncoder:
    """The text encoder of contrastive pretraining."""

    name_or_path: str | None = None  # hub id, folder or fetched name; null: a small untrained one
    width: int = 128
    depth: int = 2
    heads: int = 4
    vocabulary: int = 1000
    max_tokens: int = 64
    trainable: bool = True
    pooling: str = "mean"  # mean | cls | pooler, of a pretrained encoder
    centre: bool = False  # subtract the mean vector of the training reports

    def as_dict(self) -> dict[str, Any]:
        """Return the fields; pooling and centre only if they are not the usual ones.

        Keys and stamps of earlier results are thus those from before the fields existed.
        """
        usual = self.pooling == "mean" and not self.centre
        return {k: v for k, v in asdict(self).items() if not (usual and k in _POOLED)}


@dataclass(frozen=True)
class Simulated:
    """Encoders trained on fresh simulated ECGs only, to read real ones or to start others."""

    seeds: list[int] = field(default_factory=lambda: [0])
    normalisations: list[str] = field(default_factory=lambda: ["mv", "lead_minmax"])
    objective: dict[str, Any] = field(default_factory=dict)  # like `Config.objective`


@dataclass(frozen=True)
class PretrainingStudy:
    """Encoders to pretrain on ECG-report pairs, and the shares of labels to probe them with."""

    seeds: list[int] = field(default_factory=list)  # empty = no study
    normalisations: list[str] = field(default_factory=lambda: ["mv"])
    starts: list[str] = field(default_factory=lambda: ["scratch", "simulated"])
    fractions: list[float] = field(default_factory=lambda: [0.01, 0.1, 1.0])  # of the labels
    draws: int = 5  # random draws of labelled patients, per fraction below 1
    ecgs: int | None = None  # maximum number to train on and to test on; null = all
    objective: dict[str, Any] = field(default_factory=dict)  # like `Config.objective`
    further: dict[str, Any] = field(default_factory=dict)  # changes to it if not from scratch


@dataclass(frozen=True)
class Llm:
    """The language model: a pretrained one, or a tiny Llama and the texts that it learns from."""

    name_or_path: str | None = None  # hub id, folder or fetched name; null: a tiny Llama
    title: str = "tiny LLM"
    dtype: str = "float32"
    gradient_checkpointing: bool = False
    width: int = 96
    depth: int = 3
    heads: int = 4
    vocabulary: int = 1500
    rows: int = 60000  # questions about a cohort's reports in pretraining
    look_ups: int = 0  # synthetic texts of the first course, with eight short questions each
    look_up_rate: float = 2e-3  # learning rate of the look-ups
    made_up: int = 0  # pairs of synthetic reports, with twelve questions each
    anew: float = 0.5  # share of the questions in `rows` that are paraphrased
    general: int = 1  # passes over the general text
    talks: int = 100  # questions about meanings and advice, for the dialogue of Figure 4
    batch_size: int = 64
    learning_rate: float = 3e-3
    passages: int = 0  # toy passages: two lists of everyday things, with six questions each
    pack: int = 6  # maximum questions per report in a pretraining row
    disturb: float = 0.5  # share of questions whose words are disturbed in pretraining
    blurred: float = 0.3  # share of reports that are mixed into slots instead of written
    reading_gate: float = 0.9  # minimum reading accuracy on held-out wordings
    bf16: bool = False
    practice: bool = False  # a named LLM practises `rows` questions about reports, by LoRA
    reading_adapter: str | None = None  # folder of the LoRA of such practice, merged instead

    @property
    def practised(self) -> bool:
        """Whether the named LLM is changed by reading practice before it is frozen."""
        return self.practice or self.reading_adapter is not None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields; those of reading practice only if there is any.

        Keys and stamps of results without it are thus those from before the fields existed.
        """
        values = asdict(self)
        return {k: v for k, v in values.items() if self.practised or k not in _PRACTICE}


@dataclass(frozen=True)
class Lora:
    """LoRA adapters of the language model."""

    r: int = 8
    alpha: int = 16
    dropout: float = 0.1
    target_modules: list[str] = field(default_factory=lambda: ["q_proj", "k_proj"])


@dataclass(frozen=True)
class Alignment:
    """Training of the projector to convey the names of findings, before any question is asked."""

    epochs: float = 6  # 0 = none: every arm starts with a random projector, as in the paper
    batch_size: int = 128
    learning_rate: float = 3e-3
    zero_shot_names: bool = False  # also the names of Table 4; their AUC is then not zero-shot


@dataclass(frozen=True)
class Stage:
    """Training settings of a fine-tuning stage."""

    epochs: int = 6
    learning_rate: float = 1e-4
    learning_rates: dict[str, float] = field(default_factory=dict)  # for single arms, by name
    projector_rate: float | None = None  # for the projector; null = that of the adapters
    batch_size: int = 64  # questions, approximately
    questions_per_ecg: int = 8  # maximum questions per sequence; 1 = each question alone
    weight_decay: float = 1e-4
    warmup: float = 0.1
    max_rows: int | None = None  # null = all
    bf16: bool = False
    equal_answers: bool = False  # weight each answer equally in the loss; false: each token


@dataclass(frozen=True)
class Fusion:
    """The multi-label classifier that Table 3 compares with the ECG-LLM."""

    width: int = 128
    depth: int = 2
    heads: int = 4
    dropout: float = 0.1
    epochs: float = 10
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warmup: float = 0.1


@dataclass(frozen=True)
class Evaluation:
    """Sizes of the tests and of the linear probe."""

    batch_size: int = 128
    max_new_tokens: int = 32
    max_rows: int | None = None  # stratified by question type; null = all
    interventional: int = 30  # ECGs per question and answer in the interventional test
    interventional_rows: int | None = 2000  # maximum rows per question type in it; null = all
    resamples: int = 1000  # of the bootstrap
    min_positives: int = 10  # labels with fewer are n/a
    judged: int = 40  # ECGs per finding and source that the outside judge measures
    examples: int = 1500  # simulated patients to search for a clear example of each finding
    normals: int = 120  # normal ECGs per group whose waves are measured
    probe_task: str = "superclasses"  # a file of ecg_lib/evaluation/tasks
    probe_ecgs: int | None = None  # maximum number to train and to test it on; null = all
    probe_epochs: int = 8  # of the encoder trained from scratch, the probe's control
    probe_seeds: list[int] = field(default_factory=lambda: [0])  # of it and the random encoder
    zero_shot_prompt: str = "Does this ECG reveal any signs of {label}?"


@dataclass(frozen=True)
class Config:
    """A whole profile; `arms` lists the arms of ecg_lib/arm_table.py to train and evaluate."""

    profile: str = "demo"
    stages: dict[str, list[str]] = field(default_factory=dict)  # study -> [profile]; [] = not run
    label: str = "simulated cohort, tiny LLM"  # printed beside each result
    seed: int = 42
    threads: int | None = None  # CPU threads of torch; null = all
    data: Data = field(default_factory=Data)
    signal: Signal = field(default_factory=Signal)
    questions: Questions = field(default_factory=Questions)
    encoder: dict[str, Any] = field(default_factory=lambda: {"name": "stem_vit"})  # name, settings
    text_encoder: TextEncoder = field(default_factory=TextEncoder)
    start: str = "scratch"  # or simulated: the encoder continues from one of `simulated`
    objective: dict[str, Any] = field(default_factory=dict)  # its file's name, and its settings
    simulated: Simulated = field(default_factory=Simulated)
    pretraining_study: PretrainingStudy = field(default_factory=PretrainingStudy)
    llm: Llm = field(default_factory=Llm)
    lora: Lora = field(default_factory=Lora)
    alignment: Alignment = field(default_factory=Alignment)
    stage1: Stage = field(default_factory=Stage)
    stage2: Stage = field(default_factory=lambda: Stage(epochs=2, learning_rate=2e-5))
    arms: list[str] = field(default_factory=lambda: ["de-biased", "control", "weighted", "none"])
    fusion: Fusion = field(default_factory=Fusion)
    evaluation: Evaluation = field(default_factory=Evaluation)
    study: Study = field(default_factory=Study)
    nature: Nature = field(default_factory=Nature)
    arm_seeds: ArmSeeds = field(default_factory=ArmSeeds)
    paper_schedule: PaperSchedule = field(default_factory=PaperSchedule)
    kmerl: Kmerl = field(default_factory=Kmerl)

    def as_dict(self) -> dict[str, Any]:
        """Return plain nested dictionaries, as in params.yaml; sections by their `as_dict`."""
        sections = {"llm": self.llm.as_dict(), "text_encoder": self.text_encoder.as_dict()}
        return asdict(self) | sections

    def ecg_input(self, normalisation: str | None = None) -> EcgInput:
        """Return the encoder's input format; `normalisation` overrides the profile's own."""
        from ecg_lib.encoders.base import EcgInput  # importing torch takes seconds

        return EcgInput(
            rate=self.signal.rate, normalisation=normalisation or self.signal.normalisation
        )


def load_config(params: str | Path = paths.PARAMS) -> Config:
    """Read a composed profile (params.yaml).

    Raises
    ------
    ConfigError
        The file is missing, or a field is unknown, has the wrong type or an impossible value.
    """
    path = Path(params)
    path = path if path.is_absolute() else paths.ROOT / path
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; compose it with `make params PROFILE=demo`")
    return from_mapping(read_yaml(path), where=path.name)


def from_mapping(values: Any, where: str = "params") -> Config:
    """Validate nested mappings into a Config; `where` names their origin in errors."""
    config = typed(Config, values, f"{where}: ")
    check(config, where)
    return config


def vary(config: Config, overrides: Iterable[str], where: str) -> Config:
    """Return a configuration with some fields changed, each given as `section.field=value`.

    Raises
    ------
    ConfigError
        An override names an unknown field or an impossible value; `where` names its origin.
    """
    try:
        changed = OmegaConf.from_dotlist(list(overrides))
    except (yaml.YAMLError, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(f"{where}: {str(error).splitlines()[0]}") from error
    return from_mapping(OmegaConf.merge(OmegaConf.create(config.as_dict()), changed), where)


def compose_values(profile: str = "demo", overrides: list[str] | None = None) -> DictConfig:
    """Compose a profile of `conf/` as `dvc exp run -S profile=...` does, without validation.

    Raises
    ------
    ConfigError
        There is no such profile, or an override names an unknown field.
    """
    from hydra import compose as hydra_compose  # takes 1 s to import, needed only here
    from hydra import initialize_config_dir
    from hydra.errors import HydraException

    known = sorted(path.stem for path in (paths.CONF / "profile").glob("*.yaml"))
    if profile not in known:
        raise ConfigError(f"conf/profile: no profile {profile!r}; choose one of {', '.join(known)}")
    if long := [one for one in overrides or [] if len(one) > _MOST_OVERRIDE]:
        raise ConfigError(
            f"{long[0][:40]}...: longer than {_MOST_OVERRIDE:,} characters; write a profile instead"
        )
    try:
        with initialize_config_dir(str(paths.CONF), version_base=None):
            return hydra_compose("config", overrides=[f"profile={profile}", *(overrides or [])])
    except (HydraException, yaml.YAMLError, ValueError, OSError) as error:
        told = (str(error).splitlines() or [type(error).__name__])[0][:_SHOWN]
        raise ConfigError(f"conf/: {told}; check the profile and each KEY=VALUE") from error


def compose(profile: str = "demo", overrides: list[str] | None = None) -> Config:
    """Compose and validate a profile."""
    return from_mapping(compose_values(profile, overrides), where=f"profile {profile}")


def write_params(values: DictConfig, path: Path = paths.PARAMS) -> bool:
    """Write params.yaml atomically, as `dvc exp run` would; return whether it changed."""
    text = OmegaConf.to_yaml(values, resolve=True)
    if path.is_file() and path.read_text() == text:
        return False
    write_file(path, text)
    return True


def main(arguments: list[str] | None = None) -> None:
    """Compose a profile and write it to params.yaml."""
    parser = argparse.ArgumentParser(prog="python -m ecg_lib.config", description=main.__doc__)
    parser.add_argument("profile", help="a file of conf/profile, e.g. demo")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides, e.g. data.root=/data")
    options = parser.parse_args(arguments)
    try:
        values = compose_values(options.profile, options.overrides)
        from_mapping(values, where=f"profile {options.profile}")
        changed = write_params(values)
    except EcgLibError as error:
        parser.exit(2, f"error: {error}\n")
    print(f"params.yaml: profile {options.profile}{'' if changed else ' (unchanged)'}")


if __name__ == "__main__":
    main()

"""The arms of the experiment, trained and asked: steps for notebooks 04 to 09.

An arm is named by what stage 1 shows it; encoder, LLM and stage 2 are the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from joblib import Parallel, cpu_count, delayed, parallel_config

from ecg_lib import paths
from ecg_lib.closure import code_hash
from ecg_lib.config import Config, Stage
from ecg_lib.config_check import ARMS as ARMS
from ecg_lib.ecg_llm import finetune
from ecg_lib.ecg_llm.answering import answer_rows
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.ecg_llm.weighted_loss import WeightedAnswers
from ecg_lib.encoders.token_cache import EcgTokens
from ecg_lib.objectives.parts.clip import EcgClip
from ecg_lib.questions.debias import pair_verify, severity_weights, unpaired_control
from ecg_lib.training.cache import fingerprint, train_or_load, why_not_current
from ecg_lib.training.distributed import launched


def stage_folder(config: Config, stage: str, arm: str) -> Path:
    """Where an arm's adapters lie after a stage."""
    return paths.checkpoints_dir(config.profile) / stage / arm


def run_stages(
    config: Config,
    stage: str,
    rows: Mapping[str, pd.DataFrame],
    tokens: EcgTokens,
    clip: EcgClip,
    llm: Path | str,
) -> None:
    """Train several arms through stage1 or stage2, or load them; `rows`: arm -> what it is shown.

    On a CPU tiny models gain little from a second core, so arms are trained side by side.
    """
    stale = [
        arm
        for arm, shown in rows.items()
        if why_not_current(
            stage_folder(config, stage, arm), _key(config, stage, arm, shown, tokens, llm, None)
        )
    ]
    jobs = min(len(stale), cpu_count()) if _tiny(config) else 1
    done: dict[str, list[str]] = {}
    if jobs > 1:
        with parallel_config("loky", inner_max_num_threads=max(1, cpu_count() // jobs)):
            said = Parallel(n_jobs=jobs)(
                delayed(_trained)(config, stage, arm, rows[arm], tokens, clip, llm) for arm in stale
            )
        done = dict(zip(stale, said, strict=True))
    for arm, shown in rows.items():
        if arm in done:
            print(*done[arm], sep="\n")
        else:
            run_stage(config, stage, arm, shown, tokens, clip, llm)


def _tiny(config: Config) -> bool:
    """Whether models are small enough for several at once: no LLM of others, no GPU, no rank."""
    return config.llm.name_or_path is None and not torch.cuda.is_available() and launched() == 1


def _trained(
    config: Config,
    stage: str,
    arm: str,
    rows: pd.DataFrame,
    tokens: EcgTokens,
    clip: EcgClip,
    llm: Path | str,
) -> list[str]:
    """What `run_stage` said, in a process of its own."""
    said: list[str] = []
    run_stage(config, stage, arm, rows, tokens, clip, llm, say=said.append)
    return said


def run_stage(
    config: Config,
    stage: str,
    arm: str,
    rows: pd.DataFrame,
    tokens: EcgTokens,
    clip: EcgClip,
    llm: Path | str,
    valid: pd.DataFrame | None = None,
    say: Callable[[str], None] = print,
    first: Path | None = None,
) -> Path:
    """Train one arm through stage1 or stage2, or load it.

    stage2 goes on from where stage1 left the arm: `first`, or its place in the profile.
    """
    before = first or stage_folder(config, "stage1", arm)
    settings = of_arm(getattr(config, stage), arm)

    def train(folder: Path) -> None:
        if _goes_on(stage, arm):
            model = EcgLlm.from_pretrained(before, config.llm.dtype, trainable=True)
            model.projector.requires_grad_(True)
            processor = EcgLlmProcessor.from_pretrained(before)
        else:
            model, processor = finetune.new_model(
                clip.ecg_encoder, llm, config.lora, config.llm.dtype, config.seed
            )
        if config.llm.gradient_checkpointing:  # of the LLM: EcgLlm as a whole offers none
            model.base_lm.activation_checkpointing_enable()
        finetune.train_stage(
            model, processor, rows, tokens, settings, folder, config.seed, valid, _loss(rows)
        )

    key = _key(config, stage, arm, rows, tokens, llm, first)
    return train_or_load(stage_folder(config, stage, arm), key, train, say)


def _goes_on(stage: str, arm: str) -> bool:
    return stage == "stage2" and arm != "none"


def _key(
    config: Config,
    stage: str,
    arm: str,
    rows: pd.DataFrame,
    tokens: EcgTokens,
    llm: Path | str,
    first: Path | None,
) -> dict[str, str]:
    """Fingerprint of all that a trained arm depends on."""
    before = first or stage_folder(config, "stage1", arm)
    return fingerprint(
        params=[config.seed, asdict(of_arm(getattr(config, stage), arm)), asdict(config.lora)],
        rows=pd.util.hash_pandas_object(rows.astype(str), index=False).tolist(),
        tokens=(tokens.folder / "encoded.json").read_text(),
        llm=version_of(llm),
        stage1=version_of(before) if _goes_on(stage, arm) else "",
        code=code_hash(partial(finetune.train_stage, wrap=_loss(rows))),
    )


def _loss(rows: pd.DataFrame) -> type[WeightedAnswers] | None:
    """The loss of rows that are weighed; None: the model's own."""
    return WeightedAnswers if finetune.WEIGHT in rows else None


def of_arm(stage: Stage, arm: str) -> Stage:
    """A stage as one arm trains it: at a rate of its own where the profile names one."""
    rate = stage.learning_rates.get(arm, stage.learning_rate)
    return replace(stage, learning_rate=rate, learning_rates={})


def stage1_rows(train: pd.DataFrame, normal: pd.Series, seed: int) -> dict[str, pd.DataFrame]:
    """What stage 1 shows each arm that has one: as many rows, paired, unpaired and weighed.

    Parameters
    ----------
    train : the question rows of the training split.
    normal : bool by ecg_id, of every ECG of the cohort.
    """
    paired, _ = pair_verify(train, seed)
    control = unpaired_control(train, len(paired), seed)
    weights = severity_weights(control, normal, base=normal.mean(), truncate=0.01)
    return {"de-biased": paired, "control": control, "weighted": control.assign(weight=weights)}


def version_of(folder: Path | str) -> str:
    """The fingerprint of what was trained into a folder; the name itself where there is none."""
    marker = Path(folder) / "fingerprint.json"
    return marker.read_text() if marker.is_file() else str(folder)


def load_arm(config: Config, arm: str, stage: str = "stage2") -> tuple[EcgLlm, EcgLlmProcessor]:
    """A trained arm, ready to answer."""
    folder = stage_folder(config, stage, arm)
    model = EcgLlm.from_pretrained(folder, config.llm.dtype)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device), EcgLlmProcessor.from_pretrained(folder)


def curves(config: Config, stage: str, arms: Iterable[str]) -> pd.DataFrame:
    """Learning curves of some arms, one row a log entry."""
    return pd.concat(
        [
            pd.read_csv(stage_folder(config, stage, arm) / "curve.csv").assign(arm=arm)
            for arm in arms
        ],
        ignore_index=True,
    )


def answer_arm(config: Config, arm: str, rows: pd.DataFrame, tokens: EcgTokens) -> pd.DataFrame:
    """Prediction and P(yes) of a trained arm for question rows."""
    model, processor = load_arm(config, arm)
    return answer_rows(
        model,
        processor,
        rows,
        tokens,
        config.evaluation.batch_size,
        config.evaluation.max_new_tokens,
    )


def answers_file(config: Config, arm: str) -> Path:
    """Where notebook 06 keeps an arm's answers to the test rows."""
    return paths.data_dir(config.profile) / "answers" / f"{arm}.parquet"

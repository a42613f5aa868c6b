"""Train the arms of the experiment and collect their answers (notebooks 04 to 09)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch
from joblib import Parallel, cpu_count, delayed, parallel_config

from ecg_lib.arm_table import ARMS
from ecg_lib.disk import write_file, writing
from ecg_lib.ecg_llm import finetune, paired_contrast, product_of_experts
from ecg_lib.ecg_llm.answering import answer_rows
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.ecg_llm.weighted_loss import EqualAnswers, WeightedAnswers
from ecg_lib.encoders.token_cache import TokenSource
from ecg_lib.experiments.aligning import (
    align_projector,
    aligned_folder,
    alignment_key,
    begin_aligned,
)
from ecg_lib.questions.debias import (
    PAIR_COLUMNS,
    pair_verify,
    pair_within_severity,
    severity_weights,
    unpaired_control,
)
from ecg_lib.sealed import SEAL, checked, seal
from ecg_lib.training.cache import key_of, train_or_load, version_of, why_not_current
from ecg_lib.training.distributed import launched

if TYPE_CHECKING:
    from ecg_lib.config import Lora, Stage
    from ecg_lib.experiments.llm_experiment import LlmExperiment

_SMALL = 1e9  # bytes of an LLM's weights: training takes several times as much memory per process


def stage_folder(run: LlmExperiment, stage: str, arm: str) -> Path:
    """Return an arm's folder after a stage; an arm without stages is the aligned model."""
    return run.checkpoints(stage, arm) if ARMS[arm].stages else aligned_folder(run)


def stage1_rows(train: pd.DataFrame, normal: pd.Series, seed: int) -> dict[str, pd.DataFrame]:
    """Return the rows of stage 1 for each arm that has one, by the arm's key.

    Parameters
    ----------
    train : DataFrame
        The question rows of the training split.
    normal : Series of bool
        Whether each ECG of the cohort is normal, by ecg_id.
    """
    paired, pairs = pair_verify(train, seed)
    pair_of = pd.concat([pairs.set_index(side)["pair_id"] for side in PAIR_COLUMNS[1:]])
    unpaired = unpaired_control(train, len(paired), seed)
    weights = severity_weights(unpaired, normal, base=normal.mean(), truncate=0.01)
    shown = {
        "pairs": paired,
        "unpaired": unpaired,
        "weighted": unpaired.assign(**{finetune.WEIGHT: weights}),
        "within severity": pair_within_severity(train, normal, seed)[0],
        "contrast": paired.assign(**{paired_contrast.PAIR: paired["sample_id"].map(pair_of)}),
        "product": unpaired.join(product_of_experts.words_log_odds(unpaired)),
    }
    return {arm.key: shown[arm.stage1] for arm in ARMS.values() if arm.stage1}


def of_arm(stage: Stage, arm: str) -> Stage:
    """Return a stage's settings for one arm, with the arm's own learning rate if it has one."""
    rate = stage.learning_rates.get(arm, stage.learning_rate)
    return replace(stage, learning_rate=rate, learning_rates={})


def lora_of(lora: Lora, arm: str) -> Lora:
    """Return LoRA's settings for one arm, with the arm's own target modules if it has any."""
    adapted = ARMS[arm].adapted
    return replace(lora, target_modules=list(adapted)) if adapted else lora


def run_stages(run: LlmExperiment, stage: str, rows: Mapping[str, pd.DataFrame]) -> None:
    """Train several arms through stage1 or stage2, or load them.

    On a CPU, small models gain little from a second core, so arms are trained in parallel.

    Parameters
    ----------
    rows : mapping of str to DataFrame
        Training rows by arm.
    """
    stale = [
        arm
        for arm, shown in rows.items()
        if why_not_current(stage_folder(run, stage, arm), _key(run, stage, arm, shown, None))
    ]
    jobs = min(len(stale), cpu_count()) if _small(run) else 1
    done: dict[str, list[str]] = {}
    if jobs > 1:
        if run.config.alignment.epochs:  # only once, not in each process
            align_projector(run, say=None)
        with parallel_config("loky", inner_max_num_threads=max(1, cpu_count() // jobs)):
            said = Parallel(n_jobs=jobs)(
                delayed(_trained)(replace(run), stage, arm, rows[arm]) for arm in stale
            )
        done = dict(zip(stale, said, strict=True))
    for arm, shown in rows.items():
        if arm in done:
            print(*done[arm], sep="\n")
        else:
            run_stage(run, stage, arm, shown)


def _small(run: LlmExperiment) -> bool:
    """Return whether several models may train at once: small LLM, no GPU, a single process."""
    if torch.cuda.is_available() or launched() > 1:
        return False
    weights = [file.stat().st_size for file in Path(run.llm).glob("*.safetensors")]
    return run.config.llm.name_or_path is None or 0 < sum(weights) < _SMALL


def _trained(run: LlmExperiment, stage: str, arm: str, rows: pd.DataFrame) -> list[str]:
    """Run `run_stage` in a worker process and return its messages."""
    said: list[str] = []
    run_stage(run, stage, arm, rows, say=said.append)
    return said


def run_stage(
    run: LlmExperiment,
    stage: str,
    arm: str,
    rows: pd.DataFrame,
    valid: pd.DataFrame | None = None,
    say: Callable[[str], None] | None = print,
    first: Path | None = None,
) -> Path:
    """Train one arm through stage1 or stage2, or load it.

    Parameters
    ----------
    rows, valid : DataFrame
        Training rows, and optional rows for the validation loss.
    first : Path, optional
        Folder of the stage1 model that stage2 continues from; by default the run's own.
    """
    before, config = first or stage_folder(run, "stage1", arm), run.config
    settings = of_arm(getattr(config, stage), arm)

    def train(folder: Path) -> None:
        if _goes_on(stage, arm):
            checked(before, "train stage 1 again")
            model = EcgLlm.from_pretrained(before, config.llm.dtype, trainable=True)
            model.projector.requires_grad_(True)
            processor = EcgLlmProcessor.from_pretrained(before)
        else:
            model, processor = finetune.new_model(
                run.clip.ecg_encoder,
                run.llm,
                lora_of(config.lora, arm),
                config.llm.dtype,
                config.seed,
            )
            begin_aligned(run, model, processor, folder)
        if config.llm.gradient_checkpointing:  # on the LLM, as EcgLlm itself does not offer it
            model.base_lm.activation_checkpointing_enable()
        given = model, processor, rows, run.tokens, settings, folder, config.seed
        if own := _own_training(rows):
            own(*given)
        else:
            finetune.train_stage(*given, valid, _wrap(rows, settings))

    key = _key(run, stage, arm, rows, first)
    return train_or_load(stage_folder(run, stage, arm), key, train, say)


def _goes_on(stage: str, arm: str) -> bool:
    return stage == "stage2" and bool(ARMS[arm].stage1)


def _own_training(rows: pd.DataFrame) -> Callable[..., None] | None:
    """Return the function that replaces `train_stage` for rows with extra columns, if any."""
    if paired_contrast.PAIR in rows:
        return paired_contrast.train_pairs
    return product_of_experts.train_beside_words if product_of_experts.WORDS in rows else None


def _wrap(rows: pd.DataFrame, stage: Stage) -> type[WeightedAnswers] | None:
    """Return the module that computes the loss in place of the model, if any."""
    if stage.equal_answers:
        return EqualAnswers
    return WeightedAnswers if finetune.WEIGHT in rows else None


def _key(
    run: LlmExperiment, stage: str, arm: str, rows: pd.DataFrame, first: Path | None
) -> dict[str, str]:
    """Return the fingerprint of everything a trained arm depends on."""
    before = first or stage_folder(run, "stage1", arm)
    settings = of_arm(getattr(run.config, stage), arm)
    own = _own_training(rows)
    wrap = None if own else _wrap(rows, settings)
    return key_of(
        own or finetune.train_stage,
        *([wrap] if wrap else []),
        params=[
            run.config.seed,
            asdict(settings),
            asdict(lora_of(run.config.lora, arm)),
        ],
        rows=pd.util.hash_pandas_object(rows.astype(str), index=False).tolist(),
        tokens=(run.tokens.folder / "encoded.json").read_text(),
        llm=version_of(run.llm),
        stage1=version_of(before) if _goes_on(stage, arm) else "",
        alignment="" if _goes_on(stage, arm) else _but_libraries(alignment_key(run)),
    )


def _but_libraries(key: Mapping[str, str]) -> dict[str, str]:
    """Drop the libraries from a key that becomes part of another key, which has them already."""
    return {name: part for name, part in key.items() if name != "libraries"}


def load_arm(run: LlmExperiment, arm: str, stage: str = "stage2") -> tuple[EcgLlm, EcgLlmProcessor]:
    """Load a trained arm for answering, on the GPU if there is one."""
    if not ARMS[arm].stages:
        align_projector(run, say=None)
    folder = stage_folder(run, stage, arm)
    model = EcgLlm.from_pretrained(checked(folder, "train the arm again"), run.config.llm.dtype)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    processor = EcgLlmProcessor.from_pretrained(folder)
    # transformers wraps `to`, and its type takes the device for the model
    return model.to(device), processor  # type: ignore[arg-type]


def curves(run: LlmExperiment, stage: str, arms: Iterable[str]) -> pd.DataFrame:
    """Read the learning curves of some arms, one row per log entry."""
    return pd.concat(
        [pd.read_csv(stage_folder(run, stage, arm) / "curve.csv").assign(arm=arm) for arm in arms],
        ignore_index=True,
    )


def answer_arm(
    run: LlmExperiment,
    arm: str,
    rows: pd.DataFrame,
    tokens: TokenSource | None = None,
    stage: str = "stage2",
) -> pd.DataFrame:
    """Return predictions and P(yes) of a trained arm for question rows.

    Parameters
    ----------
    tokens : TokenSource, optional
        Tokens of the ECGs asked about; by default the run's.
    stage : str
        Stage after which the arm answers.
    """
    model, processor = load_arm(run, arm, stage)
    settings = run.config.evaluation
    tokens = run.tokens if tokens is None else tokens
    return answer_rows(model, processor, rows, tokens, settings.batch_size, settings.max_new_tokens)


def answers_file(run: LlmExperiment, arm: str) -> Path:
    """Return the file in which notebook 06 keeps an arm's answers to the test rows."""
    return run.data("answers", f"{arm}.parquet")


def keep_answers(run: LlmExperiment, answers: Mapping[str, pd.DataFrame]) -> None:
    """Write the answers of arms to the test rows, and seal them together."""
    folder = run.data("answers")
    with writing(folder):
        (folder / SEAL).unlink(missing_ok=True)
        for arm, frame in answers.items():
            write_file(answers_file(run, arm), frame.to_parquet)
        seal(folder)


def kept_answers(run: LlmExperiment, arm: str) -> pd.DataFrame:
    """Read what `keep_answers` wrote; raise `DataError` if it was altered since."""
    checked(run.data("answers"), "run notebook 06 again")
    return pd.read_parquet(answers_file(run, arm))

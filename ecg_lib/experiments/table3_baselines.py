"""The baselines of Table 3: a fusion classifier, and the LLM reading tags (notebook 06).

Both use the tokens of the same frozen encoder and train on the same patients.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from ecg_lib.baselines import fusion, tagger
from ecg_lib.baselines.fusion_classifier import FusionClassifier
from ecg_lib.ecg_llm.answering import read_rows
from ecg_lib.ecg_llm.finetune import rows_seen
from ecg_lib.ecg_llm.frozen_llm import load_llm
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.encoders.token_cache import on_gpu
from ecg_lib.questions.written_reports import written_reports
from ecg_lib.training.cache import key_of, train_or_load, version_of

if TYPE_CHECKING:
    from ecg_lib.data.store import EcgStore
    from ecg_lib.experiments.llm_experiment import LlmExperiment


def baseline_folder(run: LlmExperiment, name: str) -> Path:
    """Return the folder of a baseline's weights or tags."""
    return run.checkpoints("baselines", name)


def train_fusion(
    run: LlmExperiment, rows: pd.DataFrame
) -> tuple[FusionClassifier, PreTrainedTokenizerBase]:
    """Train the multi-label classifier on stage 2's rows, or load it.

    The LLM's tokenizer, with which it reads questions, is returned as well.
    """
    config = run.config
    seen = rows_seen(rows, config.stage2, config.seed)
    tokenizer = AutoTokenizer.from_pretrained(str(run.llm))
    key = key_of(
        fusion.train_fusion,
        params=[config.seed, asdict(config.fusion)],
        rows=pd.util.hash_pandas_object(seen.astype(str), index=False).tolist(),
        tokens=(run.tokens.folder / "encoded.json").read_text(),
        llm=version_of(run.llm),
    )

    def train(folder: Path) -> None:
        fusion.train_fusion(seen, run.tokens, tokenizer, config.fusion, folder, config.seed)

    folder = train_or_load(baseline_folder(run, "fusion"), key, train)
    return FusionClassifier.from_pretrained(folder), tokenizer


def train_tagger(run: LlmExperiment) -> tagger.Tags:
    """Tag every ECG of the store with the findings that a linear probe on the encoder predicts."""
    key = key_of(
        tagger.save_tags,
        data=run.store.hash,
        tokens=(run.tokens.folder / "encoded.json").read_text(),
    )
    train = partial(tagger.save_tags, run.store.records, run.tokens)
    return tagger.load_tags(train_or_load(baseline_folder(run, "tagger"), key, train))


def answers_from_text(
    run: LlmExperiment, rows: pd.DataFrame, ecgs: tagger.Tags | EcgStore
) -> pd.Series:
    """Return the LLM's answers when it reads a text *about* the ECG.

    Parameters
    ----------
    ecgs : Tags or EcgStore
        Source of the text: predicted tags, or a store's true labels.
    """
    config = run.config
    described: Any = ecgs  # both have `records` and `record`, and reports need no more
    model, tokenizer = load_llm(run.llm, config.llm.dtype)
    with on_gpu(model):
        return read_rows(
            model,
            EcgLlmProcessor(tokenizer, slots=0),
            rows,
            written_reports(described, config.questions.templates),
            config.seed,
            config.evaluation.max_new_tokens,
            config.evaluation.batch_size,
        )

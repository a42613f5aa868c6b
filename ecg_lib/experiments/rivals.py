"""What Table 3 sets beside the ECG-LLM: steps for notebook 06, as `workflow` has them.

Both rivals look at the same frozen encoder's tokens and train on the same patients.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pandas as pd
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from ecg_lib import paths
from ecg_lib.baselines import fusion, tagger
from ecg_lib.baselines.fusion_classifier import FusionClassifier
from ecg_lib.closure import code_hash
from ecg_lib.config import Config
from ecg_lib.data.store import EcgStore
from ecg_lib.ecg_llm.answering import read_rows
from ecg_lib.ecg_llm.finetune import rows_seen
from ecg_lib.ecg_llm.frozen_llm import load_llm
from ecg_lib.ecg_llm.model import EcgLlmConfig
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.encoders.token_cache import EcgTokens, on_gpu
from ecg_lib.experiments.arms import stage_folder, version_of
from ecg_lib.questions.written_reports import written_reports
from ecg_lib.training.cache import fingerprint, train_or_load


def rival_folder(config: Config, name: str) -> Path:
    """Where a rival's weights or tags lie."""
    return paths.checkpoints_dir(config.profile) / "rivals" / name


def llm_of(config: Config, arm: str = "de-biased") -> Path | str:
    """The language model that an arm of stage 2 was trained with: a folder or a hub id."""
    folder = stage_folder(config, "stage2", arm)
    name = EcgLlmConfig.from_pretrained(folder).language_model
    return (folder / name).resolve() if (folder / name).is_dir() else name


def train_fusion(
    config: Config, rows: pd.DataFrame, tokens: EcgTokens, llm: Path | str
) -> tuple[FusionClassifier, PreTrainedTokenizerBase]:
    """The multi-label classifier, trained on the rows of stage 2, and the LLM's tokenizer."""
    seen = rows_seen(rows, config.stage2, config.seed)
    tokenizer = AutoTokenizer.from_pretrained(str(llm))
    key = fingerprint(
        params=[config.seed, asdict(config.fusion)],
        rows=pd.util.hash_pandas_object(seen.astype(str), index=False).tolist(),
        tokens=(tokens.folder / "encoded.json").read_text(),
        llm=version_of(llm),
        code=code_hash(fusion.train_fusion),
    )
    folder = train_or_load(
        rival_folder(config, "fusion"),
        key,
        lambda folder: fusion.train_fusion(
            seen, tokens, tokenizer, config.fusion, folder, config.seed
        ),
    )
    return FusionClassifier.from_pretrained(folder), tokenizer


def train_tagger(config: Config, store: EcgStore, tokens: EcgTokens) -> tagger.Tags:
    """The findings that a linear probe on the frozen encoder sees in every ECG of a cohort."""
    key = fingerprint(
        data=store.hash,
        tokens=(tokens.folder / "encoded.json").read_text(),
        code=code_hash(tagger.save_tags),
    )
    folder = train_or_load(
        rival_folder(config, "tagger"),
        key,
        lambda folder: tagger.save_tags(store.records, tokens, folder),
    )
    return tagger.load_tags(folder)


def answers_from_text(
    config: Config, rows: pd.DataFrame, ecgs: tagger.Tags | EcgStore, llm: Path | str
) -> pd.Series:
    """What the LLM answers when it reads *about* the ECG: tags, or a store's true labels."""
    model, tokenizer = load_llm(llm, config.llm.dtype)
    with on_gpu(model):
        return read_rows(
            model,
            EcgLlmProcessor(tokenizer, slots=0),
            rows,
            written_reports(ecgs, config.questions.templates),
            config.seed,
            config.evaluation.max_new_tokens,
            config.evaluation.batch_size,
        )

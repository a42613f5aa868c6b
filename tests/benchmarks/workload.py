"""The work that is timed: simulated ECGs, questions about them, and models with random weights."""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import wfdb
from scipy.signal import resample

from ecg_lib import encoders
from ecg_lib.config import Config, Stage, compose
from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.store import EcgStore
from ecg_lib.data.write_store import write_store
from ecg_lib.ecg_llm.answering import generate_answers
from ecg_lib.ecg_llm.finetune import new_model, rows_seen
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.processor import ONE_ECG, QUESTION, TWO_ECGS, EcgLlmProcessor
from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.encoders.token_cache import EcgTokens, encode_store
from ecg_lib.questions.build import build_questions
from ecg_lib.questions.vocabulary import answer_text
from ecg_lib.questions.worlds import find_world
from ecg_lib.signal.leads import LEADS
from ecg_lib.tiny_llm.llama import tiny_llama, train_byte_pairs
from ecg_lib.tiny_llm.synthetic_reports import single_tokens

FILE_HZ = 500  # Hz; rate of the ECGs written as files, that of PTB-XL and MIMIC-IV-ECG


@dataclass(frozen=True)
class Workload:
    """One cohort, its questions and the models of a profile, made in `folder` when first used."""

    folder: Path
    config: Config
    patients: int
    per_answer: int

    @classmethod
    def of(cls, folder: Path, profile: str = "demo", patients: int = 250, per_answer: int = 20):
        """Take the sizes of the models, the templates and the learning rates from a profile."""
        torch.set_num_threads(1)
        return cls(folder, compose(profile), patients, per_answer)

    @cached_property
    def store(self) -> EcgStore:
        """The prepared cohort."""
        return write_store(self.folder / "store", SimulatedCohort(self.patients, seed=1))

    @cached_property
    def files(self) -> list[Path]:
        """Path without suffix of ECGs of the cohort as WFDB files at 500 Hz, 64 at most."""
        return write_files(self.store.mv(range(min(64, len(self.store)))), self.folder / "files")

    @cached_property
    def encoder(self) -> EcgEncoder:
        """The profile's encoder, with random weights."""
        torch.manual_seed(0)
        settings = self.config.encoder
        return encoders.build(settings["name"], settings, self.config.ecg_input()).eval()

    @cached_property
    def questions(self) -> pd.DataFrame:
        """Question rows of all splits."""
        settings = self.config.questions
        world = find_world(settings.world, settings.strength)
        pairs = max(1, round(self.per_answer * (settings.comparisons or 0.5)))
        sizes = replace(
            world.sizes(self.per_answer), comparison_verify=pairs, comparison_query=pairs
        )
        tables = build_questions(
            self.store.records, sizes, world, self.config.seed, settings.templates or None
        )
        return pd.concat(tables.values(), ignore_index=True)

    def some(self, n: int, kind: str = "") -> pd.DataFrame:
        """Return `n` rows, with all rows of an ECG or pair, of question types that name `kind`."""
        rows = self.questions[self.questions["question_type"].str.contains(kind)]
        return rows_seen(rows, Stage(max_rows=n), seed=0).reset_index(drop=True)

    @cached_property
    def llm(self) -> Path:
        """Folder of the profile's tiny Llama, with random weights and a trained tokenizer."""
        settings, rows = self.config.llm, self.questions
        frames = [QUESTION.format(question=""), ONE_ECG.format(""), TWO_ECGS.format("", "")]
        read = [*frames * 1000, *self.store.records["report"], *rows["question"].unique()]
        tokenizer = train_byte_pairs(
            [*read, *map(answer_text, rows["answer"])], settings.vocabulary, single_tokens()
        )
        torch.manual_seed(0)
        folder = self.folder / "llm"
        lm = tiny_llama(tokenizer, settings.width, settings.depth, settings.heads)
        lm.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    def fresh_model(self) -> tuple[EcgLlm, EcgLlmProcessor]:
        """Return an untrained ECG-LLM, whose adapters change nothing yet."""
        return new_model(self.encoder, self.llm, self.config.lora, "float32", seed=0)

    @cached_property
    def model_and_processor(self) -> tuple[EcgLlm, EcgLlmProcessor]:
        """An ECG-LLM to be asked, whose random slots and adapters do change the answers."""
        model, processor = self.fresh_model()
        torch.manual_seed(1)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.data.normal_(std=0.1)
        return model.eval(), processor

    @cached_property
    def tokens(self) -> EcgTokens:
        """The encoder's output for the whole cohort."""
        return encode_store(self.store, self.encoder, self.folder / "tokens")

    def answers(self, rows: pd.DataFrame, batch_size: int = 128) -> list[str]:
        """Generate answers to rows as the library does."""
        model, processor = self.model_and_processor
        asked = rows["question"].tolist(), [list(e) for e in rows["ecg_id"]]
        return generate_answers(model, processor, *asked, self.tokens, batch_size=batch_size)


def write_files(signals_mv: np.ndarray, folder: Path) -> list[Path]:
    """Write ECGs (n, 12, T) at 100 Hz as WFDB files at 500 Hz; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    stems = [folder / f"{k:05d}" for k in range(len(signals_mv))]
    for stem, signal in zip(stems, signals_mv, strict=True):
        wfdb.wrsamp(
            stem.name, fs=FILE_HZ, units=["mV"] * 12, sig_name=list(LEADS), fmt=["16"] * 12,
            adc_gain=[1000.0] * 12, baseline=[0] * 12, write_dir=str(folder),
            p_signal=resample(signal.astype(float), signal.shape[-1] * FILE_HZ // 100, axis=-1).T,
        )  # fmt: skip
    return stems


@contextlib.contextmanager
def quiet():
    """Hide progress bars and log lines of the libraries."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    with open(os.devnull, "w") as null, contextlib.redirect_stderr(null):
        yield

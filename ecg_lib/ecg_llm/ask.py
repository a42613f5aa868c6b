"""Answering one question about one or two recordings of your own: file -> tokens -> answer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ecg_lib import encoders, sealed
from ecg_lib.data.wfdb_files import read_wfdb
from ecg_lib.ecg_llm.answering import first_token_scores
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.encoders.base import EcgInput
from ecg_lib.encoders.token_cache import encode
from ecg_lib.errors import BadRecord, DataError, EcgLibError
from ecg_lib.signal.quality import standardise
from ecg_lib.signal.resample import STANDARD_RATE

ARM = "de-biased"  # the paper's model
_LONGEST = 2_000  # characters of a question, five times ECG-QA's longest
_SUFFIXES = (".hea", ".dat", ".mat")
_YES_NO = (
    "am",
    "are",
    "can",
    "could",
    "did",
    "do",
    "does",
    "had",
    "has",
    "have",
    "is",
    "may",
    "might",
    "must",
    "should",
    "was",
    "were",
    "will",
    "would",
)


@dataclass(frozen=True)
class Answer:
    """A model's answer: its text and, for a yes/no question, P(yes) / (P(yes) + P(no))."""

    text: str
    p_yes: float | None = None


def read_ecg(path: str | os.PathLike, rate: int = STANDARD_RATE, method: str = "fft") -> np.ndarray:
    """Read a WFDB record in the same way as the ECGs of every cohort.

    Leads are found by name. The file may have any sampling rate. The first 10 s are taken and
    nothing is repaired.

    Parameters
    ----------
    path : str or PathLike
        The record, with or without suffix.
    rate : int
        Sampling rate of the result in Hz.
    method : str
        "fft" or "polyphase", how to resample.

    Returns
    -------
    (12, T) float32 array, mV

    Raises
    ------
    BadRecord
        The record is missing, damaged or too short, or a lead is missing, flat or broken.
    """
    stem = stem_of(Path(path).expanduser())
    try:
        recording = read_wfdb(stem)
        return standardise(recording.signal, recording.names, recording.fs, rate, method=method)
    except BadRecord as error:
        raise BadRecord(f"{path}: {error}") from error


def stem_of(path: Path) -> Path:
    """Return the path of a WFDB record without the suffix of one of its files."""
    return path.with_suffix("") if path.suffix in _SUFFIXES else path


def newest_model(checkpoints: Path, stage: str = "stage2", arm: str = ARM) -> Path:
    """Return the folder <profile>/<stage>/<arm> whose training finished last.

    Raises
    ------
    DataError
        No profile has a trained model.
    """
    found = sorted(
        checkpoints.glob(f"*/{stage}/{arm}/fingerprint.json"),
        key=lambda marker: (marker.stat().st_mtime, str(marker)),
    )
    if not found:
        raise DataError(
            f"no trained model in {checkpoints}: run `make paper` first or pass --model FOLDER"
        )
    return found[-1].parent


def load_model(folder: str | os.PathLike) -> tuple[EcgLlm, EcgLlmProcessor]:
    """Load a saved ECG-LLM and its processor, on the GPU if there is one.

    Raises
    ------
    DataError
        The folder holds no saved model, or its language model cannot be loaded.
    """
    folder = _checked(folder)
    try:
        model = EcgLlm.from_pretrained(folder, "auto")
        processor = EcgLlmProcessor.from_pretrained(folder)
    except EcgLibError:
        raise  # it says what to do
    except (OSError, ValueError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{folder}: cannot be loaded ({first}); pass another --model FOLDER"
        ) from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # transformers wraps `to`, and its type takes the device for the model
    return model.to(device), processor  # type: ignore[arg-type]


def model_reads(folder: str | os.PathLike) -> EcgInput:
    """Return the input specification of a saved ECG-LLM's encoder without loading its weights.

    Raises
    ------
    DataError
        The folder holds no saved model.
    """
    return encoders.input_of(_checked(folder) / "encoder")


def _checked(folder: str | os.PathLike) -> Path:
    if not Path(folder, "projector.safetensors").is_file():
        raise DataError(
            f"{folder}: no saved ECG-LLM (projector.safetensors is missing): run "
            "`make paper` first or pass --model FOLDER"
        )
    return sealed.checked(folder, "train it again or pass another --model FOLDER")


def worded_as_yes_no(question: str) -> bool:
    """Return whether a question starts like a yes/no question and has no "or" in it."""
    words = question.lower().replace(",", " ").split()
    return bool(words) and words[0] in _YES_NO and "or" not in words


@torch.no_grad()
def ask(
    model: EcgLlm,
    processor: EcgLlmProcessor,
    signals_mv: Sequence[np.ndarray],
    question: str,
    max_new_tokens: int = 64,
) -> Answer:
    """Ask a question about one ECG, or about two in the order previous, recent.

    Parameters
    ----------
    model : EcgLlm
    processor : EcgLlmProcessor
    signals_mv : one or two (12, T) arrays, mV
        ECGs at the encoder's sampling rate, with their leads in the order of `LEADS`.
    question : str
    max_new_tokens : int

    Returns
    -------
    Answer
        The greedy answer. `p_yes` is set if the question is worded as a yes/no question, or if the
        model puts more than half of the first token's probability on yes and no.

    Raises
    ------
    DataError
        The question is longer than any that the language model could read.
    """
    if len(question) > _LONGEST:
        raise DataError(f"the question has {len(question):,} characters; ask in {_LONGEST:,}")
    tokens, _ = encode(np.stack(signals_mv), model.encoder)
    batch = processor.prompts([processor.prompt_ids(question, len(signals_mv))])
    batch["ecg_tokens"] = tokens
    batch = {name: value.to(model.device) for name, value in batch.items()}
    logits = model(**batch).logits  # (1, V)
    yes, no = processor.yes_no_ids()
    mass = float(logits.float().softmax(-1)[0, yes + no].sum())
    p_yes = None
    if mass > 0.5 or worded_as_yes_no(question):
        p_yes = float(first_token_scores(logits, processor)[0][0])
    new = model.generate(
        **batch,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        pad_token_id=processor.pad_id,
        eos_token_id=processor.tokenizer.eos_token_id,
    )
    return Answer(processor.said(new)[0], p_yes)

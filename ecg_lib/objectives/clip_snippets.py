"""Contrast real ECGs with pieces of their reports, from scratch or from an encoder that knows more.

A text is a run of words of a report (`cohorts.report_text`), and every ECG whose report contains
it is a positive: "sinus rhythm" belongs to most of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import set_seed

from ecg_lib.config import Config, Pairs
from ecg_lib.data.report_text import plain_text
from ecg_lib.data.store import EcgStore
from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.encoders.token_cache import encoder_input
from ecg_lib.objectives.clip_reports import build_clip
from ecg_lib.objectives.parts.augment import Augmentation, augment
from ecg_lib.objectives.parts.clip import EcgClip
from ecg_lib.objectives.parts.gather import in_training, true_of
from ecg_lib.training.distributed import is_first, processes
from ecg_lib.training.fit import fit

MIN_WORDS = 2  # "normal ecg" is a report; nothing is left of "trace only requested"


@dataclass(frozen=True)
class Start:
    """A CLIP to go on with, and the tokenizer of its text encoder."""

    clip: EcgClip
    tokenizer: object


def usable_rows(store: EcgStore, rows: Sequence[int]) -> np.ndarray:
    """Those of some rows whose report says something once labels and remarks are gone."""
    reports = store.records["report"].iloc[list(rows)].map(plain_text)
    return np.asarray(rows)[(reports.str.split().str.len() >= MIN_WORDS).to_numpy()]


def a_run(report: str, whole: float, longest: int, generator: torch.Generator) -> str:
    """1 to `longest` words in a row of a report, or with probability `whole` all of it."""
    words = report.split()
    drawn, length, at = torch.rand(3, generator=generator).tolist()
    if drawn < whole:
        return report
    length = min(len(words), 1 + int(longest * length))
    at = int((len(words) - length + 1) * at)
    return " ".join(words[at : at + length])


class RunCollator:
    """Rows of a store -> augmented, normalised ECGs, tokenised runs of words, positives."""

    def __init__(
        self,
        store: EcgStore,
        encoder: EcgEncoder,
        tokenizer,
        max_tokens: int,
        settings: Pairs,
        seed: int,
    ):
        self.store, self.encoder, self.tokenizer = store, encoder, tokenizer
        self.max_tokens, self.settings = max_tokens, settings
        self.reports = store.records["report"].map(plain_text).tolist()
        self.generator = torch.Generator().manual_seed(seed)
        default = Augmentation()
        self.how = replace(
            default,
            gain_log_sd=settings.gain * default.gain_log_sd,
            lead_gain_log_sd=settings.gain * default.lead_gain_log_sd,
        )

    def __call__(self, rows: list[dict]) -> dict[str, Tensor]:
        index, settings = [row["row"] for row in rows], self.settings
        reports = [self.reports[i] for i in index]
        texts = [a_run(r, settings.whole, settings.words, self.generator) for r in reports]
        words = self.tokenizer(
            texts, truncation=True, padding=True, max_length=self.max_tokens, return_tensors="pt"
        )
        ecg = augment(torch.from_numpy(self.store.mv(index)), self.generator, self.how)
        spaced = [[f" {text} " for text in several] for several in (texts, reports)]
        batch = {
            "ecg": encoder_input(ecg.numpy(), self.encoder),
            "positives": true_of(*spaced),
            "input_ids": words["input_ids"],
            "attention_mask": words["attention_mask"],
        }
        if processes() > 1:  # the texts of others may be true of these ECGs
            batch |= dict(zip(("texts", "reports"), spaced, strict=True))
        return batch


def train_pairs(
    store: EcgStore,
    rows: Sequence[int],
    config: Config,
    folder: Path,
    *,
    seed: int,
    normalisation: str,
    start: Start | None = None,
    valid: Sequence[int] = (),
) -> None:
    """Train on rows of a store; save `clip/` (with its tokenizer) and `curve.csv` below `folder`.

    Parameters
    ----------
    rows : to train on; no label is read, and nothing is looked at to stop early
    valid : rows whose loss stands in the curve; it decides nothing
    start : trained further at `pairs.learning_rate_further`; None: an untrained CLIP
    """
    set_seed(seed)
    settings, rows = config.pairs, usable_rows(store, rows)
    if start is None:
        texts = store.records["report"].iloc[rows].map(plain_text).tolist()
        start = Start(*build_clip(config, texts, normalisation))
        rate, epochs = settings.learning_rate, settings.epochs
    else:
        rate, epochs = settings.learning_rate_further, settings.epochs_further
    clip = start.clip.train()
    collate = RunCollator(
        store, clip.ecg_encoder, start.tokenizer, config.text_encoder.max_tokens, settings, seed
    )
    held_out = [{"row": int(i)} for i in usable_rows(store, valid)]
    history = fit(
        in_training(clip),
        [{"row": int(i)} for i in rows],
        collate,
        folder,
        valid=held_out,
        epochs=epochs,
        batch_size=min(settings.batch_size, len(rows)),
        learning_rate=rate,
        weight_decay=settings.weight_decay,
        warmup=settings.warmup,
        seed=seed,
        clip_norm=1.0,
        drop_last=True,
    )
    if not is_first():
        return
    clip.save_pretrained(folder / "clip")
    start.tokenizer.save_pretrained(str(folder / "clip"))
    history.to_csv(folder / "curve.csv", index=False)

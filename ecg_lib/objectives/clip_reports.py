"""Contrastive pretraining of the ECG encoder on ECG-report pairs (section "ECG Encoder")."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import AutoTokenizer, set_seed

from ecg_lib import encoders
from ecg_lib.config import Config
from ecg_lib.data.store import EcgStore
from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.encoders.text_encoder import TextEncoder, small_bert, train_report_tokens
from ecg_lib.encoders.token_cache import encoder_input
from ecg_lib.objectives.parts.clip import EcgClip
from ecg_lib.objectives.parts.gather import in_training, true_of
from ecg_lib.training.distributed import is_first, processes
from ecg_lib.training.fit import fit

MIN_WORDS = 3  # paper: reports with fewer words are removed
_STATEMENT = re.compile(r"[.;]\s+|,\s+(?=\w{4})")


def usable(reports: pd.Series) -> pd.Series:
    """Which reports have at least three words (paper, Datasets)."""
    return reports.str.split().str.len() >= MIN_WORDS


def build_clip(
    config: Config, reports: list[str], normalisation: str | None = None
) -> tuple[EcgClip, object]:
    """An untrained EcgClip and its tokenizer, as the configuration says."""
    text = config.text_encoder
    encoder = encoders.build(
        config.encoder["name"], config.encoder, config.ecg_input(normalisation)
    )
    if text.name_or_path:
        tokenizer = AutoTokenizer.from_pretrained(text.name_or_path)
        text_encoder = TextEncoder.from_pretrained(text.name_or_path)
    else:
        tokenizer = train_report_tokens(reports, text.vocabulary)
        text_encoder = TextEncoder(
            small_bert(len(tokenizer), text.width, text.depth, text.heads, text.max_tokens)
        )
    clip = EcgClip(
        encoder,
        text_encoder,
        config.contrastive.width,
        config.contrastive.temperature,
        text.trainable,
    )
    return clip, tokenizer


def a_piece(report: str, whole: float, generator: torch.Generator) -> str:
    """One statement of a report, or with probability `whole` all of it."""
    if torch.rand((), generator=generator) < whole:
        return report
    pieces = [piece for piece in _STATEMENT.split(report.rstrip(".")) if piece]
    return pieces[int(torch.randint(len(pieces), (), generator=generator))] if pieces else report


class PairCollator:
    """Rows of a store -> normalised ECGs, token ids, and what each text is true of.

    With `whole` = 1 (the paper) a text is its report, and `text_id` numbers distinct reports. Below
    1 it may be one statement of it, and `positives` tells all ECGs whose reports contain it.
    """

    def __init__(
        self,
        store: EcgStore,
        encoder: EcgEncoder,
        tokenizer,
        max_tokens: int,
        whole: float = 1.0,
        seed: int = 0,
    ):
        self.store, self.encoder = store, encoder
        self.tokenizer, self.max_tokens, self.whole = tokenizer, max_tokens, whole
        self.reports = store.records["report"].tolist()
        self.text_id = pd.factorize(store.records["report"])[0]
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        index = [row["row"] for row in rows]
        texts = reports = [self.reports[i] for i in index]
        batch = {"ecg": encoder_input(self.store.mv(index), self.encoder)}
        if self.whole < 1:
            texts = [a_piece(report, self.whole, self.generator) for report in reports]
            batch["positives"] = true_of(texts, reports)
            if processes() > 1:  # the texts of others may be true of these ECGs
                batch |= {"texts": texts, "reports": reports}
        else:
            batch["text_id"] = torch.from_numpy(self.text_id[index])
        words = self.tokenizer(
            texts, truncation=True, padding=True, max_length=self.max_tokens, return_tensors="pt"
        )
        return batch | {"input_ids": words["input_ids"], "attention_mask": words["attention_mask"]}


def pretrain(store: EcgStore, config: Config, folder: Path) -> None:
    """Train and save `clip/` (with its tokenizer) and `curve.csv` below `folder`."""
    set_seed(config.seed)
    records, settings = store.records, config.contrastive
    good = usable(records["report"])
    train = np.flatnonzero(good & (records["split"] == "train"))
    valid = np.flatnonzero(good & (records["split"] == "valid"))
    clip, tokenizer = build_clip(config, records["report"].iloc[train].tolist())
    collate = PairCollator(
        store,
        clip.ecg_encoder,
        tokenizer,
        config.text_encoder.max_tokens,
        settings.whole,
        config.seed,
    )
    history = fit(
        in_training(clip),
        [{"row": int(i)} for i in train],
        collate,
        folder,
        valid=[{"row": int(i)} for i in valid],
        epochs=settings.epochs,
        batch_size=min(settings.batch_size, len(train)),
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup=settings.warmup,
        seed=config.seed,
        bf16=settings.bf16,
        clip_norm=1.0,
        drop_last=True,
    )
    if not is_first():
        return
    clip.save_pretrained(folder / "clip")
    tokenizer.save_pretrained(str(folder / "clip"))
    history.to_csv(folder / "curve.csv", index=False)

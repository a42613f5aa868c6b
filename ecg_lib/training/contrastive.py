"""Contrastive pretraining of the ECG encoder on ECG-report pairs (section "ECG Encoder")."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import AutoTokenizer, set_seed

from ecg_lib.cohorts.store import EcgStore
from ecg_lib.config import Config
from ecg_lib.features import encoder_input
from ecg_lib.models.clip import EcgClip
from ecg_lib.models.encoder import EcgEncoder, EcgEncoderConfig
from ecg_lib.models.text_encoder import TextEncoder, small_bert, train_report_tokens
from ecg_lib.training.trainer import fit

MIN_WORDS = 3  # paper: reports with fewer words are removed


def usable(reports: pd.Series) -> pd.Series:
    """Which reports have at least three words (paper, Datasets)."""
    return reports.str.split().str.len() >= MIN_WORDS


def build_clip(config: Config, reports: list[str]) -> tuple[EcgClip, object]:
    """An untrained EcgClip and its tokenizer, as the configuration says."""
    sizes, text = config.encoder, config.text_encoder
    encoder = EcgEncoder(EcgEncoderConfig(
        patch=sizes.patch, width=sizes.width, depth=sizes.depth, heads=sizes.heads, mlp=sizes.mlp,
        dropout=sizes.dropout, normalisation=config.signal.normalisation))
    if text.name_or_path:
        tokenizer = AutoTokenizer.from_pretrained(text.name_or_path)
        text_encoder = TextEncoder.from_pretrained(text.name_or_path)
    else:
        tokenizer = train_report_tokens(reports, text.vocabulary)
        text_encoder = TextEncoder(small_bert(len(tokenizer), text.width, text.depth, text.heads,
                                              text.max_tokens))
    clip = EcgClip(encoder, text_encoder, config.contrastive.width,
                   config.contrastive.temperature, text.trainable)
    return clip, tokenizer


class PairCollator:
    """Rows of a store -> normalised ECGs, token ids, and numbers of distinct reports."""

    def __init__(self, store: EcgStore, encoder: EcgEncoder, tokenizer, max_tokens: int):
        self.store, self.encoder = store, encoder
        self.tokenizer, self.max_tokens = tokenizer, max_tokens
        self.reports = store.records["report"].tolist()
        self.text_id = pd.factorize(store.records["report"])[0]

    def __call__(self, rows: list[dict]) -> dict[str, torch.Tensor]:
        index = [row["row"] for row in rows]
        text = self.tokenizer([self.reports[i] for i in index], truncation=True, padding=True,
                              max_length=self.max_tokens, return_tensors="pt")
        return {"ecg": encoder_input(self.store.mv(index), self.encoder),
                "input_ids": text["input_ids"], "attention_mask": text["attention_mask"],
                "text_id": torch.from_numpy(self.text_id[index])}


def pretrain(store: EcgStore, config: Config, folder: Path) -> None:
    """Train and save `clip/` (with its tokenizer) and `curve.csv` below `folder`."""
    set_seed(config.seed)
    records, settings = store.records, config.contrastive
    good = usable(records["report"])
    train = np.flatnonzero(good & (records["split"] == "train"))
    valid = np.flatnonzero(good & (records["split"] == "valid"))
    clip, tokenizer = build_clip(config, records["report"].iloc[train].tolist())
    collate = PairCollator(store, clip.ecg_encoder, tokenizer, config.text_encoder.max_tokens)
    history = fit(
        clip, [{"row": int(i)} for i in train], collate, folder,
        valid=[{"row": int(i)} for i in valid], epochs=settings.epochs,
        batch_size=min(settings.batch_size, len(train)), learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay, warmup=settings.warmup, seed=config.seed,
        bf16=settings.bf16, clip_norm=1.0, drop_last=True)
    clip.save_pretrained(folder / "clip")
    tokenizer.save_pretrained(str(folder / "clip"))
    history.to_csv(folder / "curve.csv", index=False)

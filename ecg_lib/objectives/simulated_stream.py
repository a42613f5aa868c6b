"""Train an encoder on simulated ECGs that are drawn anew for every step and never seen twice.

Two readings are trained together: a head on the findings that the simulator knows to be true, and
a text encoder on pieces of the reports, contrasted as in CLIP with every ECG a piece is true of.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import set_seed

from ecg_lib.config import Config
from ecg_lib.data.simulated.cohort import draw_patient, finish
from ecg_lib.encoders.token_cache import encoder_input
from ecg_lib.knowledge.findings import transfer_findings
from ecg_lib.objectives.clip_reports import a_piece, build_clip, true_of
from ecg_lib.objectives.findings_and_text import EcgReader
from ecg_lib.objectives.parts.augment import Augmentation, augment
from ecg_lib.training.averaging import renew_batch_norm
from ecg_lib.training.fit import fit
from ecg_lib.training.muon import MuonAdamW

WHOLE = 0.25  # share of texts that are a whole report instead of one of its statements
_RENEWING = 60  # batches that batch norm's statistics are taken from
_TOKEN_REPORTS = 3000  # reports the tokenizer is trained on, or as many as there are ECGs


class FreshEcgs:
    """Batches of simulated ECGs of patients who are seen once.

    Parameters
    ----------
    seed : batch k of a seed is always the same
    batch_size : ECGs a batch
    """

    def __init__(self, seed: int, batch_size: int):
        self.seed, self.batch_size = seed, batch_size
        self.codes = transfer_findings()["codes"]

    def drafts(self, step: int) -> list:
        """The batch's ECGs but for their signals."""
        sequence = np.random.SeedSequence(self.seed, spawn_key=(2, step))
        rng = np.random.Generator(np.random.SFC64(sequence))
        return [draw_patient(rng, 1)[0] for _ in range(self.batch_size)]

    def batch(self, step: int) -> tuple[Tensor, Tensor, list[str]]:
        """Signals (B, 12, 1000) in mV, findings (B, F) of 0 and 1, reports."""
        drafts = self.drafts(step)
        signals = torch.from_numpy(finish(drafts)).float()
        targets = [[any(c in d.labels for c in codes) for codes in self.codes] for d in drafts]
        return signals, torch.tensor(targets).float(), [d.report for d in drafts]


class FreshCollator:
    """A step's number -> augmented and normalised ECGs, findings, tokenised texts, positives."""

    def __init__(self, ecgs: FreshEcgs, reader: EcgReader, max_tokens: int, how: Augmentation):
        self.ecgs, self.reader, self.max_tokens, self.how = ecgs, reader, max_tokens, how

    def __call__(self, rows: Sequence[dict]) -> dict[str, Tensor]:
        step = rows[0]["step"]
        ecg, targets, reports = self.ecgs.batch(step)
        generator = torch.Generator().manual_seed(hash((self.ecgs.seed, step)) % 2**63)
        ecg = augment(ecg, generator, self.how)
        texts = [a_piece(report, WHOLE, generator) for report in reports]
        words = self.reader.tokenizer(
            texts, truncation=True, padding=True, max_length=self.max_tokens, return_tensors="pt"
        )
        return {
            "ecg": encoder_input(ecg.numpy(), self.reader.clip.ecg_encoder),
            "targets": targets,
            "input_ids": words["input_ids"],
            "attention_mask": words["attention_mask"],
            "positives": true_of(texts, reports),
        }


def train_reader(config: Config, seed: int, folder: Path, normalisation: str) -> None:
    """Train an `EcgReader` on simulated ECGs alone and save it, with its curve, below `folder`."""
    set_seed(seed)
    settings = config.simulated
    ecgs = FreshEcgs(seed, settings.batch_size)
    batches = -(-min(_TOKEN_REPORTS, settings.ecgs) // settings.batch_size)
    drafts = (
        draft
        for step in range(1, 1 + batches)
        for draft in FreshEcgs(seed + 1, settings.batch_size).drafts(step)
    )
    clip, tokenizer = build_clip(config, [draft.report for draft in drafts], normalisation)
    reader = EcgReader(clip, tokenizer, list(transfer_findings()["finding"]))
    collate = FreshCollator(ecgs, reader, config.text_encoder.max_tokens, Augmentation())
    steps = max(1, settings.ecgs // settings.batch_size)
    embeddings = tuple(m for m in reader.modules() if isinstance(m, nn.Embedding))
    by_muon = (
        None
        if settings.optimizer == "adamw"
        else MuonAdamW(reader, embeddings, settings.learning_rate, settings.weight_decay)
    )
    history = fit(
        reader,
        [{"step": k} for k in range(steps)],
        collate,
        folder,
        epochs=1,
        batch_size=1,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup=settings.warmup,
        seed=seed,
        clip_norm=1.0,
        average=settings.average,
        optimizer=by_muon,
    )
    if settings.average:
        unseen = range(steps, steps + min(_RENEWING, steps))
        renew_batch_norm(reader, (collate([{"step": k}]) for k in unseen))
    reader.save_pretrained(folder / "reader")
    history.to_csv(folder / "curve.csv", index=False)

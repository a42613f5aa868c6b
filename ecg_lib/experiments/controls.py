"""What a probed encoder is compared with: the same architecture, random or taught by labels alone.

A probe reads something from any encoder, so a number says little by itself. The *random frozen
encoder* shows what architecture and probe give for nothing, the one *trained from scratch* what the
same labels give without pretraining. Such controls are asked for in arXiv 2602.17531.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.utils import ModelOutput

from ecg_lib.data.store import EcgStore
from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.encoders.token_cache import encoder_input, on_gpu
from ecg_lib.evaluation.hand_features import boosted, hand_features
from ecg_lib.evaluation.probe import Reading, encoder_features, linear
from ecg_lib.objectives.parts.heads import FindingHead
from ecg_lib.training.fit import Schedule, fit

RANDOM, LABELS_ONLY = "random frozen encoder", "trained from scratch on labels"
BATCH, LEARNING_RATE, WEIGHT_DECAY = 64, 1e-3, 1e-2  # chosen beforehand, never compared
_READ = 128


def untrained(encoder: EcgEncoder, seed: int) -> EcgEncoder:
    """An encoder of the same architecture and input, with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return type(encoder)(copy.deepcopy(encoder.config)).eval()


class LabelledEncoder(nn.Module):
    """An encoder and a linear head, taught by labels."""

    def __init__(self, encoder: EcgEncoder, labels: int):
        super().__init__()
        self.encoder, self.head = encoder, FindingHead(encoder.config.width, labels)

    def forward(self, ecg: Tensor, targets: Tensor) -> ModelOutput:
        """Binary cross-entropy of normalised ECGs (B, 12, T) and targets (B, K), 0 or 1."""
        logits = self.head(self.encoder(ecg))  # (B, K)
        return ModelOutput(
            loss=F.binary_cross_entropy_with_logits(logits, targets), logits=logits.detach()
        )


def scratch_scores(
    encoder: EcgEncoder,
    train: EcgStore,
    test: EcgStore,
    train_rows: np.ndarray,
    test_rows: np.ndarray,
    targets: pd.DataFrame,
    rows: np.ndarray,
    *,
    epochs: float,
    seed: int,
    folder: Path,
) -> pd.DataFrame:
    """Log-odds (test ECGs, labels) of an encoder trained on labels alone, from random weights.

    Nothing is chosen on the test ECGs: the epochs are fixed. Few labels are passed more often, by
    the root of their share, so that the training has steps enough to begin.

    Parameters
    ----------
    encoder : whose architecture and input are copied
    train_rows, test_rows : of the stores `train` and `test`
    targets : of `train_rows`, (n, labels)
    rows : of these, whose labels are known
    folder : where an interrupted training of the same arguments is found again
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LabelledEncoder(untrained(encoder, seed), targets.shape[1])
    truth = torch.from_numpy(targets.to_numpy(np.float32))

    def collate(batch: Sequence[dict]) -> dict[str, Tensor]:
        own = [row["row"] for row in batch]
        ecg = encoder_input(train.mv(train_rows[own]), model.encoder)
        return {"ecg": ecg, "targets": truth[own]}

    epochs = math.ceil(epochs * math.sqrt(len(targets) / len(rows)))
    schedule = Schedule(epochs, BATCH, LEARNING_RATE, WEIGHT_DECAY)
    fit(model, [{"row": int(row)} for row in rows], collate, folder, schedule, seed=seed)
    return pd.DataFrame(_logits(model, test, test_rows), columns=targets.columns)


@torch.no_grad()
def _logits(model: LabelledEncoder, store: EcgStore, rows: np.ndarray) -> np.ndarray:
    parts = []
    with on_gpu(model) as device:
        for at in range(0, len(rows), _READ):
            ecg = encoder_input(store.mv(rows[at : at + _READ]), model.encoder).to(device)
            parts.append(model.head(model.encoder(ecg)).float().cpu())
    return torch.cat(parts).numpy()


def readings(
    encoder: EcgEncoder,
    stores: tuple[EcgStore, EcgStore],
    rows: tuple[np.ndarray, np.ndarray],
    epochs: int,
    baseline: bool = False,
) -> dict[str, tuple[Callable[[EcgStore, np.ndarray], np.ndarray], Reading]]:
    """What `probe_table` compares: name -> features of a store's rows, and who reads them.

    Parameters
    ----------
    stores, rows : to train and to test on
    epochs : of the encoder trained from scratch; 0 leaves it out
    baseline : gradient boosting on hand-made features as well
    """

    def frozen(encoder: EcgEncoder) -> Callable[[EcgStore, np.ndarray], np.ndarray]:
        return lambda store, own: encoder_features(store, encoder, own)

    def taught(train: np.ndarray, test: np.ndarray, targets: pd.DataFrame, known: np.ndarray):
        with TemporaryDirectory() as folder:
            data = encoder, *stores, train, test, targets, known
            place = Path(folder) / LABELS_ONLY
            return scratch_scores(*data, epochs=epochs, seed=0, folder=place)

    found = {"linear probe": (frozen(encoder), linear)}
    found[RANDOM] = frozen(untrained(encoder, 0)), linear
    if epochs:
        found[LABELS_ONLY] = (lambda store, own: own), taught
    if baseline:
        found["boosting, hand features"] = hand_features, boosted
    return found

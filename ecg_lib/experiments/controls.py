"""Controls for a probed encoder: its architecture with random weights, or trained on labels only.

A probe reads something from any encoder, so its AUC says little by itself. The *random frozen
encoder* shows what architecture and probe achieve without training. The encoder *trained from
scratch* shows what the same labels achieve without pretraining. arXiv 2602.17531 calls for such
controls.
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

# (store, its rows) -> features of these ECGs
Features = Callable[[EcgStore, np.ndarray], np.ndarray]
RANDOM, LABELS_ONLY = "random frozen encoder", "trained from scratch on labels"
BATCH, LEARNING_RATE, WEIGHT_DECAY = 64, 1e-3, 1e-2  # fixed in advance, not tuned
_READ = 128


def untrained(encoder: EcgEncoder, seed: int) -> EcgEncoder:
    """Return an encoder of the same architecture and input, with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return type(encoder)(copy.deepcopy(encoder.config)).eval()


class LabelledEncoder(nn.Module):
    """An encoder with a linear head, trained on labels."""

    def __init__(self, encoder: EcgEncoder, labels: int):
        super().__init__()
        self.encoder, self.head = encoder, FindingHead(encoder.config.width, labels)

    def forward(self, ecg: Tensor, targets: Tensor) -> ModelOutput:
        """Compute binary cross-entropy for normalised ECGs (B, 12, T) and 0/1 targets (B, K)."""
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
    """Train an encoder from random weights on labels alone and score the test ECGs.

    Nothing is chosen on the test ECGs; the number of epochs is fixed. If only a share of the labels
    is known, the epochs are divided by the square root of that share, so that training has enough
    steps.

    Parameters
    ----------
    encoder : EcgEncoder
        Its architecture and input are copied.
    train_rows, test_rows : (n,), (m,) int
        Rows of the stores `train` and `test`.
    targets : (n, labels) DataFrame of bool
        Labels of `train_rows`.
    rows : (k,) int
        Positions in `train_rows` whose labels are known.
    folder : Path
        Checkpoints, from which an interrupted run with the same arguments resumes.

    Returns
    -------
    (m, labels) DataFrame
        Log-odds.
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
) -> dict[str, tuple[Features, Reading]]:
    """Return what `probe_table` compares: by name, a feature function and a reading.

    A feature function takes a store and its rows; a reading scores test ECGs from such features.

    Parameters
    ----------
    stores, rows : pair of EcgStore, pair of (n,) int
        The stores and rows to train and to test on.
    epochs : int
        Epochs of the encoder trained from scratch; 0 leaves it out.
    baseline : bool
        Also include gradient boosting on hand-made features.
    """

    def frozen(encoder: EcgEncoder) -> Features:
        return lambda store, own: encoder_features(store, encoder, own)

    def taught(train: np.ndarray, test: np.ndarray, targets: pd.DataFrame, known: np.ndarray):
        with TemporaryDirectory() as folder:
            data = encoder, *stores, train, test, targets, known
            place = Path(folder) / LABELS_ONLY
            return scratch_scores(*data, epochs=epochs, seed=0, folder=place)

    found: dict[str, tuple[Features, Reading]] = {"linear probe": (frozen(encoder), linear)}
    found[RANDOM] = frozen(untrained(encoder, 0)), linear
    if epochs:
        found[LABELS_ONLY] = (lambda store, own: own), taught
    if baseline:
        found["boosting, hand features"] = hand_features, boosted
    return found

"""Simulated ECGs that are drawn for one training step and never seen again."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ecg_lib.data.simulated.cohort import Draft, draw_patient, finish
from ecg_lib.knowledge.findings import transfer_findings


class FreshEcgs:
    """Batches of simulated ECGs, each of a different patient.

    Parameters
    ----------
    seed : int
        Random seed; with one seed, batch k is always the same.
    batch_size : int
        Number of ECGs per batch.
    """

    def __init__(self, seed: int, batch_size: int):
        self.seed, self.batch_size = seed, batch_size
        self.codes = transfer_findings()["codes"]

    def drafts(self, step: int) -> list[Draft]:
        """Draw the ECGs of a batch without rendering their signals."""
        sequence = np.random.SeedSequence(self.seed, spawn_key=(2, step))
        rng = np.random.Generator(np.random.SFC64(sequence))
        return [draw_patient(rng, 1)[0] for _ in range(self.batch_size)]

    def batch(self, step: int) -> tuple[Tensor, Tensor, list[str]]:
        """Draw and render a batch.

        Returns
        -------
        signals : (B, 12, 1000) float32, mV
        findings : (B, F) float32, 0 or 1
        reports : list of B str
        """
        drafts = self.drafts(step)
        signals = torch.from_numpy(finish(drafts)).float()
        targets = [[any(c in d.labels for c in codes) for codes in self.codes] for d in drafts]
        return signals, torch.tensor(targets).float(), [d.report for d in drafts]

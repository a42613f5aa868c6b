"""Simulated ECGs that are drawn anew for every step and never seen twice."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ecg_lib.data.simulated.cohort import Draft, draw_patient, finish
from ecg_lib.knowledge.findings import transfer_findings


class FreshEcgs:
    """Batches of simulated ECGs of patients who are seen once.

    Parameters
    ----------
    seed : batch k of a seed is always the same
    batch_size : ECGs per batch
    """

    def __init__(self, seed: int, batch_size: int):
        self.seed, self.batch_size = seed, batch_size
        self.codes = transfer_findings()["codes"]

    def drafts(self, step: int) -> list[Draft]:
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

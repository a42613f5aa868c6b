"""The parts of a loss in the course of training, and how strongly each pulls at the encoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from transformers import TrainerCallback

from ecg_lib.disk import write_file

FILE = "loss_parts.csv"
_NORM = "_gradient"  # appended to a part's name


class PartsLog(TrainerCallback):
    """Averages the parts of the loss between two entries of the learning curve.

    The rows live in the Trainer's own log, which its checkpoints hold, so a resumed run has them
    all.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    @property
    def fresh(self) -> bool:
        """Whether nothing was noted since the last entry of the curve."""
        return not self._counts

    def note(self, values: Mapping[str, Tensor]) -> None:
        """Add a step's values; scalars without gradients."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0) + value.detach().float()
            self._counts[name] = self._counts.get(name, 0) + 1

    def on_log(self, args, state, control, logs=None, **kwargs):
        """Join the means of the steps since the last entry to this entry."""
        if logs and "loss" in logs:
            means = {k: float(total) / self._counts[k] for k, total in self._sums.items()}
            state.log_history[-1].update(means)
            self._sums, self._counts = {}, {}

    def on_train_end(self, args, state, control, **kwargs):
        """Take over the entries, those from before an interruption too."""
        self.rows = [row for row in state.log_history if "loss" in row]

    def write(self, folder: Path) -> None:
        """Write `loss_parts.csv`: step, and a column for each part and each gradient norm."""
        told = pd.DataFrame(self.rows).drop(
            columns=["epoch", "loss", "grad_norm", "learning_rate"], errors="ignore"
        )
        write_file(folder / FILE, told.to_csv(index=False))


def gradient_norms(parts: Mapping[str, Tensor], encoder: nn.Module) -> dict[str, Tensor]:
    """Return the norm of each part's gradient at the weights of an encoder.

    Parameters
    ----------
    parts : mapping of str to scalar
        Already weighted; their graphs are kept.
    encoder : nn.Module

    Returns
    -------
    dict of "<part>_gradient" to scalar
    """
    weights = [p for p in encoder.parameters() if p.requires_grad]
    return {f"{name}{_NORM}": _norm(part, weights) for name, part in parts.items()}


def _norm(part: Tensor, weights: Iterable[Tensor]) -> Tensor:
    found = torch.autograd.grad(part, list(weights), retain_graph=True, allow_unused=True)
    squares = [g.float().square().sum() for g in found if g is not None]
    return torch.stack(squares).sum().sqrt() if squares else torch.zeros(())

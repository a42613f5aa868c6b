"""The mean of the weights that a training passes through at a constant rate.

Stochastic weight averaging (Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and
Better Generalization"): steps stay large, and their mean is what a falling rate would look for.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

_FILE = "averaged.safetensors"


class Averaging(TrainerCallback):
    """Averages the weights after each of the last steps of a training; a checkpoint keeps the mean.

    Parameters
    ----------
    share : the last steps, as a share of all
    """

    def __init__(self, share: float):
        self.share, self.steps = share, 0
        self.mean: list[Tensor] = []

    @torch.no_grad()
    def on_step_end(self, args, state, control, model=None, **kwargs):
        if state.global_step <= (1 - self.share) * state.max_steps:
            return
        if not self.steps:
            self.mean = [p.detach().clone() for p in model.parameters()]
        for mean, own in zip(self.mean, model.parameters(), strict=True):
            mean += (own - mean) / (self.steps + 1)
        self.steps += 1

    def on_save(self, args, state, control, **kwargs):
        if self.steps and state.is_world_process_zero:
            numbered = {f"{i}": mean.contiguous() for i, mean in enumerate(self.mean)}
            save_file({**numbered, "steps": torch.tensor(self.steps)}, _kept(args, state))

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        if state.global_step and _kept(args, state).is_file():
            kept = load_file(_kept(args, state))
            self.steps = int(kept.pop("steps"))
            homes = [p.device for p in model.parameters()]
            self.mean = [kept[f"{i}"].to(home) for i, home in enumerate(homes)]

    @torch.no_grad()
    def apply(self, model: nn.Module) -> None:
        """Give a model the mean weights; buffers stay (see `renew_batch_norm`)."""
        if self.steps:
            for own, mean in zip(model.parameters(), self.mean, strict=True):
                own.copy_(mean)


def _kept(args, state) -> Path:
    return Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}" / _FILE


@torch.no_grad()
def renew_batch_norm(model: nn.Module, batches: Iterable[dict]) -> None:
    """Batch norm's running statistics anew, as the mean over some batches.

    Those gathered in training belong to the weights passed through, not to their mean.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean
    was_training, device = model.training, next(model.parameters()).device
    model.train()
    for batch in batches:
        model(**{k: v.to(device) if isinstance(v, Tensor) else v for k, v in batch.items()})
    model.train(was_training)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum

"""Stochastic weight averaging: the mean of the weights of the last training steps.

Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization". The
learning rate stays constant, so the steps stay large; the mean of the weights takes the place of a
falling learning rate.
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
    """A callback that averages the weights over the last steps and stores the mean in checkpoints.

    Parameters
    ----------
    share : float
        The steps that are averaged, the last ones, as a share of all steps.
    """

    def __init__(self, share: float):
        self.share, self.steps = share, 0
        self.mean: list[Tensor] = []

    @torch.no_grad()
    def on_step_end(self, args, state, control, model=None, **kwargs):
        """Add the weights to the mean if this is one of the last steps."""
        if state.global_step <= (1 - self.share) * state.max_steps:
            return
        if not self.steps:
            self.mean = [p.detach().clone() for p in model.parameters()]
        for mean, own in zip(self.mean, model.parameters(), strict=True):
            mean += (own - mean) / (self.steps + 1)
        self.steps += 1

    def on_save(self, args, state, control, **kwargs):
        """Store the mean in the checkpoint."""
        if self.steps and state.is_world_process_zero:
            numbered = {f"{i}": mean.contiguous() for i, mean in enumerate(self.mean)}
            save_file({**numbered, "steps": torch.tensor(self.steps)}, _kept(args, state))

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        """Restore the mean if training resumes from a checkpoint."""
        if state.global_step and _kept(args, state).is_file():
            kept = load_file(_kept(args, state))
            self.steps = int(kept.pop("steps"))
            homes = [p.device for p in model.parameters()]
            self.mean = [kept[f"{i}"].to(home) for i, home in enumerate(homes)]

    @torch.no_grad()
    def apply(self, model: nn.Module) -> None:
        """Copy the mean weights into a model; its buffers stay (see `renew_batch_norm`)."""
        if self.steps:
            for own, mean in zip(model.parameters(), self.mean, strict=True):
                own.copy_(mean)


def _kept(args, state) -> Path:
    return Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}" / _FILE


@torch.no_grad()
def renew_batch_norm(model: nn.Module, batches: Iterable[dict]) -> None:
    """Recompute the running statistics of batch norm as their mean over some batches.

    The statistics gathered in training belong to the weights of each step, not to their mean.

    Parameters
    ----------
    model : nn.Module
        Its batch-norm layers are updated in place.
    batches : iterable of dict
        Arguments of the model's `forward`.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # makes PyTorch take a plain mean over the batches
    was_training, device = model.training, next(model.parameters()).device
    model.train()
    for batch in batches:
        model(**{k: v.to(device) if isinstance(v, Tensor) else v for k, v in batch.items()})
    model.train(was_training)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum

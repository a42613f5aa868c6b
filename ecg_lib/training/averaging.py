"""The mean of the weights that a training passes through at a constant rate.

Stochastic weight averaging (Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and
Better Generalization"): steps go on being large, their mean is what a falling rate would look for.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel
from transformers import TrainerCallback


class Averaging(TrainerCallback):
    """Averages the weights after each of the last steps of a training.

    Parameters
    ----------
    share : of the training's steps, the last ones
    """

    def __init__(self, share: float):
        self.share, self.mean = share, None

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if state.global_step <= (1 - self.share) * state.max_steps:
            return
        if self.mean is None:
            self.mean = AveragedModel(model)
        self.mean.update_parameters(model)

    @torch.no_grad()
    def apply(self, model: nn.Module) -> None:
        """Give a model the mean weights; buffers stay (see `renew_batch_norm`)."""
        if self.mean is None:
            return
        for own, mean in zip(model.parameters(), self.mean.module.parameters(), strict=True):
            own.copy_(mean)


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
    was_training = model.training
    model.train()
    for batch in batches:
        model(**batch)
    model.train(was_training)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum

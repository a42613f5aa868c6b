"""An optimiser with which small models learn faster from scratch: Muon for matrices, else AdamW."""

from __future__ import annotations

from itertools import chain

import torch
from torch import nn


class MuonAdamW(torch.optim.Optimizer):
    """One optimiser: torch's Muon for hidden matrices, AdamW for embeddings, norms and biases.

    Muon (Jordan 2024) turns a matrix's momentum into an orthogonal step. The step is scaled to the
    size of AdamW's (Liu et al. 2025, section 2.2), so one learning rate serves both. The kernels of
    a convolution are treated as a matrix with one row per output channel.

    Parameters
    ----------
    model : nn.Module
        Its trainable parameters are optimised.
    embeddings : tuple of nn.Module
        Modules whose matrices are tables with one row per token, not linear maps; AdamW steps them.
    lr : float
        Learning rate.
    weight_decay : float
    """

    def __init__(
        self, model: nn.Module, embeddings: tuple[nn.Module, ...], lr: float, weight_decay: float
    ):
        rows = {id(p) for module in embeddings for p in module.parameters()}
        trained = [p for p in model.parameters() if p.requires_grad]
        hidden = [p for p in trained if p.ndim >= 2 and id(p) not in rows]
        others = [p for p in trained if p.ndim < 2 or id(p) in rows]
        self.kernels = [(p, nn.Parameter(p.detach().flatten(1))) for p in hidden if p.ndim > 2]
        matrices = [p for p in hidden if p.ndim == 2] + [flat for _, flat in self.kernels]
        self.parts = [
            torch.optim.Muon(
                matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
            ),
            torch.optim.AdamW(others, lr=lr, weight_decay=weight_decay, betas=(0.9, 0.99)),
        ]
        super().__init__([{"params": [*matrices, *others]}], {"lr": lr})
        self._share_groups()

    def _share_groups(self) -> None:
        """Expose the groups of both optimisers, so that a scheduler's changes reach them."""
        self.param_groups = list(chain.from_iterable(part.param_groups for part in self.parts))

    @torch.no_grad()
    def step(self, closure=None):
        """Step both optimisers; return the loss of `closure`, if given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        # torch's Muon takes matrices only; the flat view shares the kernel's memory
        for kernel, flat in self.kernels:
            flat.data = kernel.data.flatten(1)
            flat.grad = None if kernel.grad is None else kernel.grad.flatten(1)
        for part in self.parts:
            part.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear all gradients, including those of the kernels."""
        super().zero_grad(set_to_none)
        for kernel, _ in self.kernels:  # the groups hold the flat views instead of the kernels
            kernel.grad = None

    def state_dict(self) -> dict:
        """Return the states of both optimisers."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict) -> None:
        """Restore the states of both optimisers."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share_groups()

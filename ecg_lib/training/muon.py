"""Muon for matrices and AdamW for the rest: small models trained from nothing learn sooner."""

from __future__ import annotations

from itertools import chain

import torch
from torch import nn


class MuonAdamW(torch.optim.Optimizer):
    """torch's Muon on hidden matrices and AdamW on embeddings, norms and biases, as one optimiser.

    Muon (Jordan 2024) turns a matrix's momentum into an orthogonal step of AdamW's size (Liu et
    al. 2025, section 2.2), so that one learning rate serves both. A convolution's kernels are a
    matrix with one row per output channel.

    Parameters
    ----------
    model : whose trainable parameters are stepped
    embeddings : modules whose matrices hold one row per token and are no map: AdamW's
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
        """What a scheduler sets in a group is what the part steps with."""
        self.param_groups = list(chain.from_iterable(part.param_groups for part in self.parts))

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for kernel, flat in self.kernels:  # torch's Muon takes matrices only; both share memory
            flat.data = kernel.data.flatten(1)
            flat.grad = None if kernel.grad is None else kernel.grad.flatten(1)
        for part in self.parts:
            part.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none)
        for kernel, _ in self.kernels:  # the groups hold their matrices in their place
            kernel.grad = None

    def state_dict(self) -> dict:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share_groups()

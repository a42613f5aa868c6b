"""MERL's second contrast: two linear views of one ECG's vector, each with its own dropout."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class UniModalViews(nn.Module):
    """Two different linear maps of an ECG's pooled vector, each followed by dropout.

    The paper speaks of two dropout masks of one vector; MERL's code has two maps as well, which is
    what is built here.

    Parameters
    ----------
    inputs : int
        Size D of the pooled vector.
    width : int
        Size E of a view.
    dropout : float
        Probability with which an entry of a view is set to 0.
    """

    def __init__(self, inputs: int, width: int, dropout: float = 0.1):
        super().__init__()
        self.views = nn.ModuleList(
            nn.Sequential(nn.Linear(inputs, width, bias=False), nn.Dropout(dropout))
            for _ in range(2)
        )

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Map pooled vectors (B, D) to two views of unit length, both (B, E)."""
        one, other = (F.normalize(view(pooled), dim=-1) for view in self.views)
        return one, other

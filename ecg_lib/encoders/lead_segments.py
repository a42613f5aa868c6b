"""From each lead of an ECG to its segments' tokens, by a linear layer or by convolutions.

Leads never mix here, so an absent lead can be left out. Tokens are in lead-major order: all
segments of the first lead, then those of the second.
"""

from __future__ import annotations

from torch import Tensor, nn

from ecg_lib.encoders.base import without_absent
from ecg_lib.encoders.stem_vit import ResidualStem


def at_positions(x: Tensor, keep: Tensor | None) -> Tensor:
    """Take rows (B, k, D) of x (B, n, D) by position (B, k); position -1 takes any row."""
    if keep is None:
        return x
    return x.gather(1, keep.clamp(min=0)[..., None].expand(-1, -1, x.shape[-1]))


class LinearSegments(nn.Module):
    """One linear layer without bias, the same for every lead (K-MERL's equation for tokens).

    Parameters
    ----------
    segment : int
        Samples per segment.
    width : int
        Size D of the tokens.
    """

    def __init__(self, segment: int, width: int):
        super().__init__()
        self.segment = segment
        self.project = nn.Linear(segment, width, bias=False)

    def forward(
        self, ecg: Tensor, present: Tensor | None = None, keep: Tensor | None = None
    ) -> Tensor:
        """Turn ECGs into tokens.

        Parameters
        ----------
        ecg : (B, L, T) float32
        present : (B, L) bool, optional
            True where a lead was recorded. What other leads hold is ignored.
        keep : (B, k) int64, optional
            Positions of the tokens that are wanted, from 0 to L T / segment - 1, or -1.

        Returns
        -------
        (B, k, D) float32
            All L T / segment tokens without `keep`. Tokens of absent leads have no meaning.
        """
        cut = without_absent(ecg, present).unflatten(-1, (-1, self.segment))  # (B, L, M, segment)
        return self.project(at_positions(cut.flatten(1, 2), keep))


class ResidualSegments(nn.Module):
    """The residual stem of `stem_vit` for one lead, the same for every lead; not in the paper.

    Parameters are those of `LinearSegments`; `segment` must be even.
    """

    def __init__(self, segment: int, width: int):
        super().__init__()
        self.stem = ResidualStem(1, width, segment)

    def forward(
        self, ecg: Tensor, present: Tensor | None = None, keep: Tensor | None = None
    ) -> Tensor:
        """Turn ECGs into tokens; parameters and result are those of `LinearSegments.forward`.

        Absent leads do not pass through the stem, so batch norm does not see them.
        """
        batch, leads, samples = ecg.shape
        rows = ecg.reshape(batch * leads, 1, samples)
        if present is None:
            z = self.stem(rows)  # (B L, D, M)
        else:
            there = present.flatten()
            own = self.stem(rows[there])  # (present leads, D, M)
            z = own.new_zeros(len(rows), *own.shape[1:])
            z[there] = own
        z = z.transpose(1, 2).reshape(batch, -1, z.shape[1])  # (B, L M, D)
        return at_positions(z, keep)

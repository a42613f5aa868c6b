"""The contrastive loss between ECGs and texts."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def clip_loss(
    ecg: Tensor,
    text: Tensor,
    scale: Tensor,
    same: Tensor | None = None,
    positives: Tensor | None = None,
) -> Tensor:
    """Compute CLIP's symmetric cross-entropy over cosine similarities (section "ECG Encoder").

    Parameters
    ----------
    ecg, text : (B, E)
        Unit vectors; row i of one belongs to row i of the other.
    scale : scalar
        Inverse temperature.
    same : (B, B) bool, optional
        Pairs whose reports are word for word the same. Those off the diagonal are left out of the
        negatives, because a normal ECG must not be pushed away from "normal ECG".
    positives : (B, B) bool, optional
        True where text j is true of ECG i. The target of a row (column) is spread evenly over its
        positives. The diagonal must be true. If given, `same` is ignored.

    Returns
    -------
    scalar
    """
    logits = scale * ecg @ text.T  # (B, B)
    if positives is not None:
        share = positives.to(logits.dtype)
        rows = (share / share.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1)
        columns = (share / share.sum(0, keepdim=True) * logits.log_softmax(0)).sum(0)
        return -(rows.mean() + columns.mean()) / 2
    if same is not None:
        off_diagonal = same & ~torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        logits = logits.masked_fill(off_diagonal, float("-inf"))
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2

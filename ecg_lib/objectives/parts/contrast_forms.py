"""Three forms of the contrast between ECGs and reports, and the directions in which it is taken.

Let s_ij be the scaled cosine of ECG i and report j in a batch of B. `infonce` is the loss of
MERL's code: -s_ii + log sum_k exp(s_ik), averaged over i. `decoupled` leaves the pair itself out of
the sum (k != i). `printed` is K-MERL's eq. 2 to the letter: the denominator of `decoupled`, but a
numerator for every pair (i, j), summed over i and j and divided by B.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ecg_lib.errors import ConfigError

FORMS = ("infonce", "decoupled", "printed")
DIRECTIONS = ("sum", "mean", "ecg")  # ecg: from an ECG to the reports only


def check_contrast(form: str, directions: str) -> None:
    """Check that a form exists and can be taken in some directions.

    Raises
    ------
    ConfigError
        The form or the directions are unknown, or `printed` is to be taken in both directions.
    """
    if form not in FORMS:
        raise ConfigError(f"contrast is {form!r}; choose {', '.join(FORMS)}")
    if directions not in DIRECTIONS:
        raise ConfigError(f"directions is {directions!r}; choose {', '.join(DIRECTIONS)}")
    if form == "printed" and directions != "ecg":
        raise ConfigError("contrast=printed is defined from ECG to report; set directions=ecg")


def contrast_loss(
    ecg: Tensor,
    text: Tensor,
    scale: Tensor | float,
    form: str = "infonce",
    directions: str = "sum",
    same: Tensor | None = None,
) -> Tensor:
    """Compute the contrast of a batch.

    Parameters
    ----------
    ecg, text : (B, E)
        Unit vectors; row i of one belongs to row i of the other.
    scale : scalar
        Inverse temperature.
    form : str
        One of `FORMS`.
    directions : str
        "sum" or "mean" of ECG-to-text and text-to-ECG, or "ecg" for ECG-to-text alone.
    same : (B, B) bool, optional
        Pairs whose reports are equal. Those off the diagonal are left out of every denominator.

    Returns
    -------
    scalar

    Raises
    ------
    ConfigError
        As for `check_contrast`.
    """
    check_contrast(form, directions)
    logits = scale * ecg @ text.T  # (B, B)
    pair = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    others = ~pair if same is None else ~(pair | same)  # (B, B)
    forward = _one_way(logits, others, form)
    if directions == "ecg":
        return forward
    both = forward + _one_way(logits.T, others.T, form)
    return both if directions == "sum" else both / 2


def _one_way(logits: Tensor, others: Tensor, form: str) -> Tensor:
    """Return the loss from rows to columns; `others` marks the negatives, (B, B) bool."""
    if form == "infonce":
        pair = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        kept = logits.masked_fill(~(others | pair), float("-inf"))
        return F.cross_entropy(kept, torch.arange(len(logits), device=logits.device))
    # A row without a negative has no denominator and is left out: its log-sum would be -inf.
    some = others.any(1)  # (B,)
    denominator = logits.masked_fill(~others & some[:, None], float("-inf")).logsumexp(1)  # (B,)
    if form == "decoupled":
        return torch.where(some, denominator - logits.diagonal(), 0).mean()
    rows = (denominator[:, None] - logits).sum(1)  # eq. 2: -log of every (i, j), summed over j
    return torch.where(some, rows, 0).mean()  # 1/B times the sum over i

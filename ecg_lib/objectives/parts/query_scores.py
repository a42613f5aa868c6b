"""Zero-shot scores by query: a model is asked for entities by their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ecg_lib.errors import DataError

if TYPE_CHECKING:
    from ecg_lib.objectives.parts.merl_clip import MerlClip

_BATCH = 128


@torch.no_grad()
def query_scores(
    clip: MerlClip,
    tokenizer: Any,
    ecgs: Tensor,
    names: Sequence[str],
    lead_mask: Tensor | None = None,
) -> Tensor:
    """Score ECGs for entities by asking for their names (K-MERL, section 4.1).

    The names are asked together, so with self-attention among queries a score depends on the other
    names.

    Parameters
    ----------
    clip : MerlClip
        In evaluation mode.
    tokenizer : PreTrainedTokenizerBase
        The tokenizer of its text encoder.
    ecgs : (N, L, T) float32, normalised
    names : sequence of str
        Q names, in the words and case in which the model was trained.
    lead_mask : (N, L) bool, optional
        True where a lead is present; None means that all are.

    Returns
    -------
    (N, Q) float32, on the CPU
        From 0 to 1.

    Raises
    ------
    DataError
        The model reads no entities, or has a linear head that does not know a name.
    """
    device, columns = clip.log_scale.device, list(range(len(names)))
    if clip.query_network is None and clip.entities is not None:
        known = {name: column for column, name in enumerate(clip.entities.names)}
        if unknown := [name for name in names if name not in known]:
            raise DataError(
                f"{unknown[0]!r} is none of the entities of this linear head; ask for one of "
                "clip.entities.names, or use a model with a query network"
            )
        columns = [known[name] for name in names]
    queries = clip.query_vectors(tokenizer, names)
    scores = []
    for at in range(0, len(ecgs), _BATCH):
        mask = None if lead_mask is None else lead_mask[at : at + _BATCH].to(device)
        encoded = clip.ecg_encoder(ecgs[at : at + _BATCH].to(device), mask)
        logits = clip.entity_logits(encoded, queries)
        scores.append(logits[:, columns].sigmoid().float().cpu())
    return torch.cat(scores)

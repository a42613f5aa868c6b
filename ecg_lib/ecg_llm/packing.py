"""Packing: many questions about one ECG or pair in one sequence, each answered as if asked alone.

The beginning that all prompts share, with the ECG in it, is the prefix of the sequence and is read
once. The questions follow one another. Each question sees only the prefix and itself, at the
positions that it would have alone. If a question could see earlier turns, the model would learn to
copy from their answers what it should find in the ECG.

Any causal LM of transformers that takes a 4-D mask and position ids can read such rows, with
"eager" or "sdpa" attention. The mask ignores a sliding window, so rows must be shorter than it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ecg_lib.ecg_llm.processor import IGNORE, EcgLlmProcessor

_PAD = -1


def packed_row(prefix: Sequence[int], turns: Sequence[tuple[Sequence[int], Sequence[int]]]) -> dict:
    """Join the token ids of a text and of its question-answer turns into one row.

    Returns
    -------
    dict of lists
        `input_ids`; `labels`, which ignore all but the answers; `turn`, 0 for the text and 1, 2,
        ... for its questions; `position`, which continues from the end of the text in every turn.
    """
    row = {
        "input_ids": list(prefix),
        "labels": [IGNORE] * len(prefix),
        "turn": [0] * len(prefix),
        "position": list(range(len(prefix))),
    }
    for number, (asked, said) in enumerate(turns, start=1):
        n = len(asked) + len(said)
        row["input_ids"] += [*asked, *said]
        row["labels"] += [IGNORE] * len(asked) + list(said)
        row["turn"] += [number] * n
        row["position"] += range(len(prefix), len(prefix) + n)
    return row


def shared_length(prompts: Sequence[Sequence[int]]) -> int:
    """Return how many first tokens all prompts share, leaving at least one token of each."""
    longest = min(map(len, prompts)) - 1
    same = (len(set(column)) == 1 for column in zip(*prompts, strict=False))
    return next((k for k, equal in enumerate(same) if not equal or k == longest), longest)


def pack(prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> dict:
    """Pack prompts about the same ECGs and their answers, which may be empty, into one row."""
    shared = shared_length(prompts)
    turns = [(prompt[shared:], said) for prompt, said in zip(prompts, answers, strict=True)]
    return packed_row(prompts[0][:shared], turns)


def grouped(
    keys: Sequence[Hashable], most: int, rng: np.random.Generator | None = None
) -> list[list[int]]:
    """Group the indices of equal keys, at most `most` per group, in groups of nearly equal size.

    `rng` decides which indices share a group; without it they keep their order.
    """
    of_key: dict[Hashable, list[int]] = {}
    for i in range(len(keys)) if rng is None else rng.permutation(len(keys)).tolist():
        of_key.setdefault(keys[i], []).append(i)
    return [
        part.tolist()
        for same in of_key.values()
        for part in np.array_split(same, -(-len(same) // most))
    ]


def packed_batch(rows: Sequence[dict], processor: EcgLlmProcessor) -> dict[str, Tensor]:
    """Right-pad rows of `packed_row`, and build their 4-D attention mask.

    Returns
    -------
    dict of tensors
        `input_ids`, `labels` and `position_ids` (B, L), and `attention_mask` (B, 1, L, L) bool.
    """
    turn = processor.pad([row["turn"] for row in rows], _PAD)
    return {
        "input_ids": processor.pad([row["input_ids"] for row in rows], processor.pad_id),
        "labels": processor.pad([row["labels"] for row in rows], IGNORE),
        "attention_mask": sees(turn)[:, None],  # (B, 1, L, L)
        "position_ids": processor.pad([row["position"] for row in rows], 0),
    }


def ends(rows: Sequence[dict], length: int) -> Tensor:
    """Mark the last token of each turn of packed rows, (B, length) bool."""
    found = torch.zeros(len(rows), length, dtype=torch.bool)
    for row, packed in zip(found, rows, strict=True):
        turn = np.array([*packed["turn"], _PAD])
        at = np.flatnonzero((turn[:-1] != turn[1:]) & (turn[:-1] > 0))
        row[torch.from_numpy(at)] = True
    return found


def sees(turn: Tensor) -> Tensor:
    """Return which tokens each token sees, (B, L, L) bool, query by key; `turn` is (B, L)."""
    own = turn[:, :, None] == turn[:, None, :]
    return (own | (turn == 0)[:, None, :]).tril()


def additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn a bool mask into an additive one: 0 where a token is seen, else the dtype's minimum."""
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(
        ~seen, torch.finfo(dtype).min
    )


def positions(attention_mask: Tensor) -> Tensor:
    """Return position ids (B, L) that skip padding on either side."""
    return (attention_mask.long().cumsum(-1) - 1).clamp(min=0)


def batches(groups: Sequence[Sequence[int]], lengths: Sequence[int], size: int) -> Iterator[list]:
    """Yield indices of groups in batches of similar length: at most `size` questions, or one group.

    Parameters
    ----------
    groups : sequence of sequences of int
        The questions of each packed row.
    lengths : sequence of int
        Number of tokens of each packed row.
    size : int
        Most questions per batch; a larger group is a batch of its own.
    """
    some: list[int] = []
    held = 0
    for k in np.argsort(lengths, kind="stable").tolist():
        if some and held + len(groups[k]) > size:
            yield some
            some, held = [], 0
        some.append(k)
        held += len(groups[k])
    if some:
        yield some

"""Many questions about one ECG (or pair) in one sequence, each answered as if it were asked alone.

What the prompts begin with, the ECG included, stands once and is read once. The questions follow
one another, but each sees only that prefix and itself, at the positions it would have alone. Were
the turns before it in sight, the model would learn to copy from their answers what it should find
in the ECG.

Any causal LM of transformers that takes a 4-D mask and position ids reads such rows (attention
"eager" or "sdpa"; a sliding window is not kept, so rows must be shorter than it).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ecg_lib.ecg_llm.processor import IGNORE, EcgLlmProcessor

_PAD = -1


def packed_row(prefix: Sequence[int], turns: Sequence[tuple[Sequence[int], Sequence[int]]]) -> dict:
    """Ids of a text and of question-answer turns -> one row.

    ``turn`` is 0 for the text and 1, 2, ... for its questions; ``position`` goes on from the text's
    end in every turn. Labels ignore all but the answers.
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
    """With how many tokens all prompts begin; one at least is left of each."""
    longest = min(map(len, prompts)) - 1
    same = (len(set(column)) == 1 for column in zip(*prompts, strict=False))
    return next((k for k, equal in enumerate(same) if not equal or k == longest), longest)


def pack(prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> dict:
    """Prompts about the same ECGs, and their answers (which may be empty) -> one row."""
    shared = shared_length(prompts)
    turns = [(prompt[shared:], said) for prompt, said in zip(prompts, answers, strict=True)]
    return packed_row(prompts[0][:shared], turns)


def grouped(
    keys: Sequence[Hashable], most: int, rng: np.random.Generator | None = None
) -> list[list[int]]:
    """Indices of equal keys, up to `most` together in groups of nearly equal size.

    `rng` draws which stand together; without it they keep their order.
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
    """Rows of `packed_row` -> right-padded input_ids, labels, position_ids and their 4-D mask."""
    turn = processor.pad([row["turn"] for row in rows], _PAD)
    return {
        "input_ids": processor.pad([row["input_ids"] for row in rows], processor.pad_id),
        "labels": processor.pad([row["labels"] for row in rows], IGNORE),
        "attention_mask": sees(turn)[:, None],  # (B, 1, L, L)
        "position_ids": processor.pad([row["position"] for row in rows], 0),
    }


def ends(rows: Sequence[dict], length: int) -> Tensor:
    """Where each turn of packed rows ends: (B, length) bool; in reading order, turn by turn."""
    found = torch.zeros(len(rows), length, dtype=torch.bool)
    for row, packed in zip(found, rows, strict=True):
        turn = np.array([*packed["turn"], _PAD])
        at = np.flatnonzero((turn[:-1] != turn[1:]) & (turn[:-1] > 0))
        row[torch.from_numpy(at)] = True
    return found


def sees(turn: Tensor) -> Tensor:
    """Whether a token sees another: `turn` (B, L) -> (B, L, L) bool, query by key."""
    own = turn[:, :, None] == turn[:, None, :]
    return (own | (turn == 0)[:, None, :]).tril()


def additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """What attention adds to its scores: 0 where a token is seen, the least number elsewhere."""
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(
        ~seen, torch.finfo(dtype).min
    )


def positions(attention_mask: Tensor) -> Tensor:
    """Positions (B, L) that count only what is no padding, on whichever side it stands."""
    return (attention_mask.long().cumsum(-1) - 1).clamp(min=0)


def batches(groups: Sequence[Sequence[int]], lengths: Sequence[int], size: int) -> Iterator[list]:
    """Indices of groups in batches of similar length, `size` questions at most or one group."""
    some, held = [], 0
    for k in np.argsort(lengths, kind="stable").tolist():
        if some and held + len(groups[k]) > size:
            yield some
            some, held = [], 0
        some.append(k)
        held += len(groups[k])
    if some:
        yield some

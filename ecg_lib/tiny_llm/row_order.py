"""Orders of training rows that put similar lengths into one batch, to save padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_AMONG = 30  # number of batches whose rows are sorted by length together


def shuffled_by_length(
    rows: Sequence[dict], batch_size: int, seed: int, among: int = _AMONG
) -> list[dict]:
    """Shuffle rows so that each batch has similar lengths; incomplete batches come last."""
    rng = np.random.default_rng(seed)
    order, batches = rng.permutation(len(rows)), []
    for start in range(0, len(rows), among * batch_size):
        some = sorted(
            order[start : start + among * batch_size], key=lambda i: len(rows[i]["input_ids"])
        )
        batches += [some[k : k + batch_size] for k in range(0, len(some), batch_size)]
    full = [batch for batch in batches if len(batch) == batch_size]
    rest = [batch for batch in batches if len(batch) < batch_size]  # last: batches stay aligned
    chosen = [*(full[k] for k in rng.permutation(len(full))), *rest]
    return [rows[i] for batch in chosen for i in batch]


def in_order_by_length(
    rows: Sequence[dict], batch_size: int, seed: int, among: int = _AMONG
) -> list[dict]:
    """Shuffle as `shuffled_by_length` does, but only nearby rows, to keep a course's order."""
    near = among * batch_size
    return [
        row
        for start in range(0, len(rows), near)
        for row in shuffled_by_length(rows[start : start + near], batch_size, seed + start, among)
    ]

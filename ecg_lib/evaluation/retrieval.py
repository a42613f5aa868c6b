"""Retrieval: how often the pretrained encoder finds the report that belongs to an ECG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from ecg_lib.data.store import EcgStore
from ecg_lib.encoders.token_cache import encode, on_gpu
from ecg_lib.intervals import wilson
from ecg_lib.objectives.parts.clip import EcgClip
from ecg_lib.objectives.parts.clip_text import tokenised


@torch.no_grad()
def embed_reports(
    clip: EcgClip, tokenizer, reports: list[str], max_tokens: int = 64, batch_size: int = 128
) -> torch.Tensor:
    """Embed reports as unit vectors, (N, E) float32.

    Parameters
    ----------
    max_tokens : int
        Longer reports are cut off.
    """
    parts = []
    with on_gpu(clip) as device:
        for start in range(0, len(reports), batch_size):
            words = tokenised(tokenizer, reports[start : start + batch_size], max_tokens)
            parts.append(clip.embed_text(*(part.to(device) for part in words.values())).cpu())
    return torch.cat(parts)


@torch.no_grad()
def embed_ecgs(
    clip: EcgClip, store: EcgStore, ecg_ids: list[str], batch_size: int = 128
) -> torch.Tensor:
    """Embed ECGs as unit vectors, (N, E) float32, without caching their tokens.

    [CLS] is rounded to half precision, as it would be in the cache.
    """
    with on_gpu(clip.ecg_encoder):
        parts = [
            encode(store.mv(ecg_ids[at : at + batch_size]), clip.ecg_encoder)[1]
            for at in range(0, len(ecg_ids), batch_size)
        ]
    return F.normalize(clip.ecg_projection(torch.cat(parts).half().float()), dim=-1)


def recall(
    ecgs: torch.Tensor,
    reports: torch.Tensor,
    texts: list[str],
    ks: Sequence[int] = (1, 5, 10),
    pool: int = 100,
    seed: int = 0,
) -> pd.DataFrame:
    """Return recall at k: how often an ECG's report is among the k nearest of its pool.

    A report with the same wording counts as well. Pools are disjoint random groups of `pool` ECGs,
    so that cohorts of different sizes can be compared.

    Parameters
    ----------
    ecgs, reports : (N, E) float32
        Unit vectors.
    texts : list of str
        The N reports.
    ks : sequence of int
    pool : int
        ECGs per pool; all N if there are fewer.

    Returns
    -------
    DataFrame
        k, value, n, ci_low, ci_high and chance, the recall of a random ranking of the same pools;
        percent.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(texts))
    pool = min(pool, len(texts))
    groups = [order[i : i + pool] for i in range(0, len(order) - pool + 1, pool)]
    hits: dict[int, list[np.bool_]] = {k: [] for k in ks}
    chance: dict[int, list[np.bool_]] = {k: [] for k in ks}
    for group in groups:
        similarity = ecgs[group] @ reports[group].T  # (pool, pool)
        words = np.array([texts[i] for i in group], dtype=object)
        same = words[:, None] == words[None, :]
        for ranking, into in ((similarity.numpy(), hits), (rng.random(same.shape), chance)):
            nearest = np.argsort(-ranking, axis=1)
            found = np.take_along_axis(same, nearest, axis=1)
            for k in ks:
                into[k].extend(np.any(found[:, :k], axis=1))
    rows = []
    for k in ks:
        cell = wilson(int(np.sum(hits[k])), len(hits[k])).percent()
        rows.append({"k": k, **cell, "chance": 100 * float(np.mean(chance[k]))})
    return pd.DataFrame(rows)

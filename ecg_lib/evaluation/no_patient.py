"""Donors that are no patient: a flat line and noise in the ECG's place.

A random donor is an ECG, ill or well, and says something wrong. A flat line says nothing, noise
says nothing either but is as loud as an ECG: what is left of an accuracy then is the question's.
Both are signals that go through the frozen encoder, unlike tokens set to zero, which no ECG gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ecg_lib.data.store import EcgStore
from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.encoders.token_cache import EcgTokens, encode, on_gpu

FLAT, NOISE = "flat line", "noise"
_SAMPLE = 500  # ECGs whose amplitude the noise has


class TokensBeside:
    """Cached tokens of a cohort, and those of a few signals that are no ECG.

    Stands in for :class:`EcgTokens` where answers are asked for.

    Parameters
    ----------
    tokens : of the cohort
    others : id -> (n, D) tokens
    """

    def __init__(self, tokens: EcgTokens, others: Mapping[str, Tensor]):
        self._tokens, self._others = tokens, dict(others)

    def get(self, ecg_ids: Sequence[str]) -> Tensor:
        """(E, n, D) float32 tokens in the order asked for."""
        ecgs = [ecg for ecg in ecg_ids if ecg not in self._others]
        own = iter(self._tokens.get(ecgs)) if ecgs else iter(())
        return torch.stack([self._others[e] if e in self._others else next(own) for e in ecg_ids])


def lead_amplitudes(store: EcgStore, seed: int) -> np.ndarray:
    """(12,) standard deviation of each lead over time, mV: the median of some ECGs."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(store))[:_SAMPLE]
    return np.median(store.mv(np.sort(rows)).std(axis=-1), axis=0)


def no_patient_tokens(
    encoder: EcgEncoder, store: EcgStore, seed: int, noises: int = 16
) -> dict[str, Tensor]:
    """Tokens of a flat line and of some draws of white noise: id -> (n, D).

    Each lead of the noise has the amplitude that this lead has in the cohort; leads are drawn
    apart, so that no lead is the sum of others as in a body.

    Returns
    -------
    dict with "flat line" and "noise 0", "noise 1", ...
    """
    rng = np.random.default_rng(seed)
    loud = lead_amplitudes(store, seed)[:, None]
    shape = (noises, len(loud), store.samples)
    signals = np.concatenate([np.zeros((1, *shape[1:])), loud * rng.standard_normal(shape)])
    with on_gpu(encoder):
        tokens, _ = encode(signals.astype(np.float32), encoder)  # (1 + noises, n, D)
    names = [FLAT, *(f"{NOISE} {k}" for k in range(noises))]
    return dict(zip(names, tokens, strict=True))


def without_patient(rows: pd.DataFrame, ids: Sequence[str]) -> pd.DataFrame:
    """Question rows about signals that are no ECG.

    All rows of one sentence get the same signals, in turn over sentences: one has but to ask once.
    Two ECGs are replaced by two different signals where there are two.
    """
    turn = pd.factorize(rows["question"])[0]
    given = [
        [ids[(2 * k + place) % len(ids)] for place in range(len(ecgs))]
        for k, ecgs in zip(turn, rows["ecg_id"], strict=True)
    ]
    return rows.assign(ecg_id=pd.Series(given, index=rows.index, dtype=object))

"""Signals without a patient: a flat line and noise in place of the ECG.

The ECG of a random donor, ill or healthy, still carries information, and it is wrong. A flat line
carries none. Noise carries none either but has the amplitude of an ECG. The accuracy that remains
with these signals therefore comes from the question alone. Both pass through the frozen encoder,
unlike tokens set to zero, which no ECG produces.
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
_SAMPLE = 500  # ECGs from which the amplitude of the noise is taken


class TokensBeside:
    """Cached tokens of a cohort, together with those of a few signals that are not ECGs.

    Takes the place of `EcgTokens` when a model answers questions.

    Parameters
    ----------
    tokens : EcgTokens
        Tokens of the cohort.
    others : mapping of str to (n, D) float32
        Tokens of the other signals, by id.
    """

    def __init__(self, tokens: EcgTokens, others: Mapping[str, Tensor]):
        self._tokens, self._others = tokens, dict(others)

    def get(self, ecg_ids: Sequence[str]) -> Tensor:
        """Return (E, n, D) float32 tokens in the order of `ecg_ids`."""
        ecgs = [ecg for ecg in ecg_ids if ecg not in self._others]
        own = iter(self._tokens.get(ecgs)) if ecgs else iter(())
        return torch.stack([self._others[e] if e in self._others else next(own) for e in ecg_ids])


def lead_amplitudes(store: EcgStore, seed: int) -> np.ndarray:
    """Return the standard deviation of each lead over time, as a median over some ECGs.

    Returns
    -------
    (12,) float, mV
        Median over at most 500 ECGs drawn at random.
    """
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(store))[:_SAMPLE]
    return np.median(store.mv(np.sort(rows)).std(axis=-1), axis=0)


def no_patient_tokens(
    encoder: EcgEncoder, store: EcgStore, seed: int, noises: int = 16
) -> dict[str, Tensor]:
    """Encode a flat line and several draws of white noise.

    Each lead of the noise has the amplitude of that lead in the cohort. Leads are drawn
    independently, so they are not sums of one another as in a real ECG.

    Parameters
    ----------
    noises : int
        Number of draws of noise.

    Returns
    -------
    dict of str to (n, D) float32
        Tokens of "flat line", "noise 0", "noise 1", ...
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
    """Replace every ECG of the question rows by a signal that is not an ECG.

    All rows with the same question text get the same signals, so each text needs to be asked only
    once. Successive texts take the signals in turn. The two ECGs of a comparison are replaced by
    two different signals where `ids` has more than one.

    Parameters
    ----------
    rows : DataFrame
        Question rows; `ecg_id` is a list of one or two ids.
    ids : sequence of str
        Ids of the signals.

    Returns
    -------
    DataFrame
        The same rows with a new `ecg_id`.
    """
    turn = pd.factorize(rows["question"])[0]
    given = [
        [ids[(2 * k + place) % len(ids)] for place in range(len(ecgs))]
        for k, ecgs in zip(turn, rows["ecg_id"], strict=True)
    ]
    return rows.assign(ecg_id=pd.Series(given, index=rows.index, dtype=object))

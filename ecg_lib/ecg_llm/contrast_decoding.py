"""Contrastive decoding: answers from what an ECG adds to the question alone.

Nothing is trained. The evidence of an ECG is the log-odds of yes with the ECG, minus the log-odds
of yes with a flat line in its place. Its sign is the answer. Whatever the model expects from the
question alone, such as "mostly no", is in both terms and cancels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit

from ecg_lib.questions.vocabulary import NO, YES

_LEAST = 1e-7  # a float32 softmax can return exactly 0 or 1, whose log-odds are infinite


def evidence(p_yes: ArrayLike, p_without: ArrayLike) -> NDArray[np.float64]:
    """Return the log-odds of yes with the ECG, minus those without it, (n,).

    Parameters
    ----------
    p_yes, p_without : (n,)
        P(yes) for the same questions with the ECG and without it.
    """
    with_it, without = (
        logit(np.clip(np.asarray(p, float), _LEAST, 1 - _LEAST)) for p in (p_yes, p_without)
    )
    return with_it - without


def contrastive_answers(p_yes: ArrayLike, p_without: ArrayLike) -> NDArray[np.object_]:
    """Answer yes where the evidence is above 0, else no; parameters are those of `evidence`."""
    return np.where(evidence(p_yes, p_without) > 0, YES, NO).astype(object)

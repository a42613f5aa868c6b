"""Contrastive decoding: what an ECG adds to the answer that the question alone would get.

Nothing is trained. The log-odds of yes with the ECG minus those with a flat line in its place are
the evidence that the ECG brought; its sign is the answer. What the model expects of a question
whoever is asked, such as "mostly no", stands in both terms and cancels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit

from ecg_lib.questions.vocabulary import NO, YES

_LEAST = 1e-7  # a float32 softmax says 0 and 1 outright, whose log-odds are infinite


def evidence(p_yes: ArrayLike, p_without: ArrayLike) -> NDArray[np.float64]:
    """Log-odds of yes with the ECG minus those without it.

    Parameters
    ----------
    p_yes, p_without : (n,) P(yes) with the ECG, and without it, of the same questions
    """
    with_it, without = (
        logit(np.clip(np.asarray(p, float), _LEAST, 1 - _LEAST)) for p in (p_yes, p_without)
    )
    return with_it - without


def contrastive_answers(p_yes: ArrayLike, p_without: ArrayLike) -> NDArray[np.object_]:
    """ "yes" where the ECG speaks for yes, otherwise "no"; arguments as of :func:`evidence`."""
    return np.where(evidence(p_yes, p_without) > 0, YES, NO).astype(object)

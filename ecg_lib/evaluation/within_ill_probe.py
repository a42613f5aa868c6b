"""Linear probes trained on ill ECGs only: a ceiling for what an ECG-LLM reads among the ill.

Each question has its own probe, trained on the ill ECGs of the training split alone, so that
noticing illness helps none of them. The probes read what the LLM is given (the projector's slots),
the mean of the encoder's tokens, and everything that `probe.pooled` keeps. Comparing the three
shows where accuracy is lost: in the encoder, on the way into the slots, or when the LLM reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.special import logit

from ecg_lib.ecg_llm.projector import Projector
from ecg_lib.encoders.token_cache import EcgTokens
from ecg_lib.evaluation.probe import cached_features, linear
from ecg_lib.questions.draw import Pool, verify_masks
from ecg_lib.questions.true_answers import questions_of
from ecg_lib.questions.vocabulary import NO, YES

MEAN, ALL_THREE, SLOTS = "mean of tokens", "CLS, mean and maximum", "projector slots"
MIN_ECGS = 10  # ill training ECGs needed per answer; with fewer the question has no probe
_CHUNK = 2048


def token_features(tokens: EcgTokens, ecg_ids: Sequence[str]) -> dict[str, np.ndarray]:
    """Return pooled encoder tokens of ECGs.

    Returns
    -------
    dict of str to float32 array
        `MEAN`: mean of the tokens, (N, D). `ALL_THREE`: [CLS], mean and maximum, (N, 3 D).
    """
    every = cached_features(tokens, tokens.rows(ecg_ids))
    width = every.shape[1] // 3
    return {MEAN: every[:, width : 2 * width], ALL_THREE: every}


@torch.no_grad()
def slot_features(projector: Projector, tokens: EcgTokens, ecg_ids: Sequence[str]) -> np.ndarray:
    """Return mean and maximum over the slots that each ECG fills in the prompt.

    Returns
    -------
    (N, 2 H) float32
    """
    weight, parts = projector.linear.weight, []
    for at in range(0, len(ecg_ids), _CHUNK):
        own = tokens.get(ecg_ids[at : at + _CHUNK]).to(weight.device, weight.dtype)
        slots = projector(own).float().cpu()  # (B, slots, H)
        parts.append(torch.cat([slots.mean(1), slots.amax(1)], dim=1))
    return torch.cat(parts).numpy()


def probe_within_ill(
    features: Mapping[str, np.ndarray], records: pd.DataFrame, rows: pd.DataFrame
) -> dict[str, pd.Series]:
    """Answer yes/no questions about one ECG with probes on each kind of features.

    Parameters
    ----------
    features : mapping of str to (N, F) float
        Features of the ECGs of `records`, in their order.
    records : (N,) DataFrame
        ecg_id, split, normal, labels, attributes.
    rows : (n,) DataFrame
        Question rows; those of other types get no answer.

    Returns
    -------
    dict of str to (n,) Series of str
        "yes" where the probe gives the finding a higher probability than its share among the ill
        training ECGs, so that a rare finding is not always denied; else "no". "" where too few of
        those ECGs have the finding or lack it.
    """
    place = dict(zip(records["ecg_id"], range(len(records)), strict=True))
    taught = np.flatnonzero((records["split"] == "train") & ~records["normal"].astype(bool))
    said = {name: pd.Series("", index=rows.index, dtype=object) for name in features}
    pool = Pool(records.iloc[taught])
    asked = rows[rows["question_type"] == "single-verify"]
    known_by = questions_of(asked)
    questions = {question.id: question for question in known_by if question}
    numbers = pd.Series([q.id if q else -1 for q in known_by], index=asked.index, dtype=int)
    for number, own in asked[numbers >= 0].groupby(numbers):
        masks = verify_masks(questions[number], pool, None)
        known = masks[YES] | masks[NO]
        truth = masks[YES][known]
        if min(truth.sum(), (~truth).sum()) < MIN_ECGS:
            continue
        at, teach = [place[ecgs[0]] for ecgs in own["ecg_id"]], taught[known]
        for name, values in features.items():
            targets = pd.DataFrame({"yes": truth})
            odds = linear(values[teach], values[at], targets, np.arange(len(teach)))["yes"]
            likelier = odds.to_numpy() > logit(truth.mean())
            said[name].loc[own.index] = np.where(likelier, YES, NO)
    return said

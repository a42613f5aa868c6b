"""Score findings from an ECG's slots alone, without a question or a pass of the language model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from transformers import PreTrainedTokenizerBase

from ecg_lib.ecg_llm.alignment import embed_names, slot_scores
from ecg_lib.ecg_llm.projector import Projector
from ecg_lib.encoders.token_cache import EcgTokens
from ecg_lib.evaluation.zero_shot import rank_correlation


@torch.no_grad()
def name_scores(
    projector: Projector,
    scale: float,
    names: Mapping[str, str],
    table: nn.Embedding,
    tokenizer: PreTrainedTokenizerBase,
    tokens: EcgTokens,
    ecg_ids: list[str],
    batch_size: int = 256,
) -> pd.DataFrame:
    """Score labels by the slots alone.

    Parameters
    ----------
    scale : float
        Factor of the cosines, learned in alignment.
    names : mapping of str to str
        The labels, and their names in words, whether seen in alignment or not.
    table, tokenizer : nn.Embedding, PreTrainedTokenizerBase
        The language model's input embeddings and its tokenizer.

    Returns
    -------
    (ECGs, labels) DataFrame
    """
    words = embed_names(list(names.values()), tokenizer, table)
    home = next(projector.parameters()).device
    scores = [
        slot_scores(
            projector(tokens.get(ecg_ids[at : at + batch_size]).to(home)), words.to(home), scale
        ).cpu()
        for at in range(0, len(ecg_ids), batch_size)
    ]
    return pd.DataFrame(torch.cat(scores).numpy(), ecg_ids, list(names))


def slot_auc(scores: pd.DataFrame, targets: pd.DataFrame, min_positives: int = 1) -> pd.Series:
    """Return the AUC of each label over the ECGs for which it is known.

    Parameters
    ----------
    scores : (N, labels) DataFrame
    targets : (N, labels) DataFrame
        1 or true, 0 or false; NA where the label is not known.
    min_positives : int
        With fewer positives or fewer negatives the AUC is NaN.

    Returns
    -------
    (labels,) Series of float, percent
    """
    found = {}
    for label in scores.columns:
        own = targets[label].astype("Float64").to_numpy(dtype=float, na_value=np.nan)
        known = ~np.isnan(own)
        positives = int(own[known].sum())
        enough = min(positives, int(known.sum()) - positives) >= max(min_positives, 1)
        score = scores[label].to_numpy()[known]
        found[label] = 100 * roc_auc_score(own[known] == 1, score) if enough else np.nan
    return pd.Series(found, name="AUC")


def slot_cells(scores: pd.DataFrame, targets: pd.DataFrame, min_positives: int = 1) -> list[dict]:
    """Return table cells: the mean AUC over labels and the rank correlation of their scores.

    Parameters are those of `slot_auc`.

    Returns
    -------
    list of dict
        column ("mean AUC" in percent, or "rank correlation" from -1 to 1), value, n (labels).
    """
    found = slot_auc(scores, targets, min_positives)
    kept = found.dropna().index
    return [
        {"column": "mean AUC", "value": found.mean(), "n": len(kept)},
        {"column": "rank correlation", "value": rank_correlation(scores[kept]), "n": len(kept)},
    ]

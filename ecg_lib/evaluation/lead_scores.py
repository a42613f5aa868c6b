"""Zero-shot scores of ECGs of which only some leads are shown: by query, by head and by cosine.

K-MERL asks its query network for the names of a set's classes; a model without one is scored by the
cosine between ECG and text, as in MERL (section 4.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from ecg_lib.data.store import EcgStore
from ecg_lib.evaluation.absent_leads import DROPPED, shown
from ecg_lib.objectives.parts.clip import EcgClip
from ecg_lib.objectives.parts.clip_text import tokenised
from ecg_lib.objectives.parts.merl_clip import MerlClip

QUERY = "query"  # a query network that is asked for the name
HEAD = "head"  # a linear head, for the names of its training
COSINE = "cosine"  # between the ECG and the name
_BATCH, _MOST_TOKENS = 64, 64


@torch.no_grad()
def lead_scores(
    clip: EcgClip,
    tokenizer: Any,
    store: EcgStore,
    prompts: Mapping[str, Sequence[str]],
    leads: Sequence[str],
    form: str = DROPPED,
    lead_means: np.ndarray | None = None,
    names: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, pd.DataFrame]:
    """Score every ECG of a store for labels, with some of its leads.

    Parameters
    ----------
    clip : EcgClip
        In evaluation mode.
    tokenizer : PreTrainedTokenizerBase
        The tokenizer of its text encoder.
    store : EcgStore
    prompts : mapping of str to sequence of str
        The texts of each label; its score is the mean over them.
    leads, form, lead_means
        As for `absent_leads.shown`.
    names : mapping of str to sequence of str, optional
        Names of entities that mean each label, for a linear head, which knows only those of its
        training. By default `prompts`.

    Returns
    -------
    dict of way to (N, labels) DataFrame, indexed by ecg_id
        `QUERY` and `HEAD`: logits. A head has NaN for a label of which it knows no name.
        `COSINE`: cosines.
    """
    texts = list(dict.fromkeys(text for own in prompts.values() for text in own))
    words = tokenised(tokenizer, texts, _MOST_TOKENS)
    text = clip.embed_text(words["input_ids"], words["attention_mask"])  # (Q, E)
    merl = clip if isinstance(clip, MerlClip) and clip.entities else None
    linear = merl is not None and merl.query_network is None
    known = merl.entities.names if merl and merl.entities and linear else texts
    queries = merl.query_vectors(tokenizer, known) if merl else None
    cosines, logits = [], []
    for at in range(0, len(store), _BATCH):
        mv = store.mv(slice(at, at + _BATCH))
        encoded = clip.ecg_encoder(*shown(mv, leads, clip.ecg_encoder, form, lead_means))
        own = F.normalize(clip.ecg_projection(encoded.cls), dim=-1)  # (B, E)
        cosines.append(own @ text.T)  # (B, Q)
        if merl is not None and queries is not None:
            logits.append(merl.entity_logits(encoded, queries).float())  # (B, Q)
    found = {COSINE: _by_label(_frame(cosines, store, texts), prompts)}
    if logits:
        meant = (names or prompts) if linear else prompts
        found[HEAD if linear else QUERY] = _by_label(_frame(logits, store, known), meant)
    return found


def _frame(parts: Sequence[Tensor], store: EcgStore, texts: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(torch.cat(list(parts)).numpy(), store.records["ecg_id"], list(texts))


def _by_label(scores: pd.DataFrame, texts: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Average the scores of each label's texts, leaving out those that have none."""
    columns = {}
    for label, own in texts.items():
        known = [text for text in own if text in scores]
        columns[label] = scores[known].mean(axis=1) if known else np.nan
    return pd.DataFrame(columns, index=scores.index)

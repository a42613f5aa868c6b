"""Zero-shot by several texts per label: how well an ECG fits them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from ecg_lib.objectives.parts.clip import MAX_SCALE, EcgClip


@torch.no_grad()
def text_scores(
    cls: torch.Tensor, clip: EcgClip, tokenizer, prompts: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """How well ECGs, given their [CLS] (N, D), fit each label's texts together, (N, labels).

    Log-mean-exp of scaled cosines, as a label is true where any one of its texts is.
    """
    ecg = F.normalize(clip.ecg_projection(cls), dim=-1)  # (N, E)
    scale = clip.log_scale.clamp(max=MAX_SCALE).exp()
    scores = {}
    for label, texts in prompts.items():
        words = tokenizer(list(texts), padding=True, return_tensors="pt")
        text = clip.embed_text(words["input_ids"], words["attention_mask"])  # (texts, E)
        logits = scale * ecg @ text.T
        scores[label] = (logits.logsumexp(1) - np.log(len(texts))).numpy()
    return pd.DataFrame(scores)

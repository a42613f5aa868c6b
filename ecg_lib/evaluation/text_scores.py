"""Zero-shot scores from several texts per label: how well an ECG fits them together."""

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
    """Score how well ECGs fit each label's texts together.

    The score is the log-mean-exp of the scaled cosines, because a label is true if any one of its
    texts is.

    Parameters
    ----------
    cls : (N, D) float32
        [CLS] tokens of the ECGs.
    clip : EcgClip
        Model whose projections are compared.
    tokenizer : PreTrainedTokenizerBase
        Tokenizer of the text encoder.
    prompts : mapping of str to sequence of str
        The texts of each label.

    Returns
    -------
    (N, labels) DataFrame
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

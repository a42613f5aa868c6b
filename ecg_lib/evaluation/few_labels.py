"""What few labels are worth: features of a CLIP encoder, probes with and without its texts.

Features are standardised on all training ECGs: that takes no label, and a dozen of labelled ECGs
could not tell how large a feature is.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from ecg_lib.data.store import EcgStore
from ecg_lib.encoders.token_cache import encoder_input
from ecg_lib.errors import DataError
from ecg_lib.evaluation.linear_probe import SUPERCLASSES, boosting, probe_scores
from ecg_lib.knowledge.findings import transfer_findings
from ecg_lib.objectives.parts.clip import MAX_SCALE, EcgClip

PROMPTS = Path(__file__).resolve().parent.parent / "knowledge" / "superclass_prompts.csv"
STRENGTH = 0.01  # sklearn's C; chosen on folds 7-8 for encoders trained on 1-6
_BATCH = 128


@cache
def prompts(labels: str) -> dict[str, tuple[str, ...]]:
    """Label -> its texts, of "superclasses" or of "findings"."""
    if labels == "findings":
        table = transfer_findings()
        return dict(zip(table["finding"], table["prompts"], strict=True))
    table = pd.read_csv(PROMPTS, dtype=str).set_index("superclass")["prompts"]
    if list(table.index) != list(SUPERCLASSES):
        raise DataError(f"{PROMPTS.name}: superclasses must be {', '.join(SUPERCLASSES)}")
    return {name: tuple(texts.split("|")) for name, texts in table.items()}


@torch.no_grad()
def clip_features(store: EcgStore, rows: np.ndarray, clip: EcgClip) -> dict[str, np.ndarray]:
    """Of some ECGs: `tokens` (n, 3 D), [CLS], mean and maximum of the tokens; `embed` (n, E)."""
    tokens, embeds = [], []
    encoder = clip.ecg_encoder.eval()
    for start in range(0, len(rows), _BATCH):
        mv = store.mv(rows[start : start + _BATCH])
        encoded = encoder(encoder_input(mv, encoder))
        tokens.append(torch.cat([encoded.cls, encoded.tokens.mean(1), encoded.tokens.amax(1)], 1))
        embeds.append(F.normalize(clip.ecg_projection(encoded.cls), dim=-1))
    return {"tokens": torch.cat(tokens).numpy(), "embed": torch.cat(embeds).numpy()}


@torch.no_grad()
def text_scores(embed: np.ndarray, clip: EcgClip, tokenizer, labels: str) -> pd.DataFrame:
    """Zero-shot: how well an ECG fits a label's texts together, (n, labels).

    Log-mean-exp of scaled cosines, as a label is true where any one of its texts is.
    """
    scale = clip.log_scale.clamp(max=MAX_SCALE).exp()
    scores = {}
    for label, texts in prompts(labels).items():
        words = tokenizer(list(texts), padding=True, return_tensors="pt")
        text = clip.embed_text(words["input_ids"], words["attention_mask"])  # (texts, E)
        logits = scale * torch.from_numpy(embed) @ text.T
        scores[label] = (logits.logsumexp(1) - np.log(len(texts))).numpy()
    return pd.DataFrame(scores)


def linear(
    train: np.ndarray,
    test: np.ndarray,
    targets: pd.DataFrame,
    rows: np.ndarray,
    text: tuple[pd.DataFrame, pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Log-odds (test ECGs, labels) of a logistic regression on some rows of the training ECGs.

    Parameters
    ----------
    train, test : features (n, F)
    targets : of the training ECGs, (n, labels)
    rows : of the training ECGs, whose labels are known
    text : zero-shot scores of the training and of the test ECGs: one more feature, as large as all
        others together, so that few labels leave it nearly free of the penalty

    Where `rows` hold one class alone there is nothing to learn: the text's score, or a constant.
    """
    mean, sd = train.mean(0), train.std(0) + 1e-6
    known, asked = (train - mean) / sd, (test - mean) / sd
    scores = {}
    for label in targets:
        truth, extra = targets[label].to_numpy()[rows], None
        if text is not None:
            own = [part[label].to_numpy() for part in text]
            extra = [
                np.sqrt(known.shape[1]) * (s - own[0].mean()) / (own[0].std() + 1e-6) for s in own
            ]
        if truth.all() or not truth.any():
            scores[label] = np.zeros(len(test)) if extra is None else extra[1]
            continue
        fit, ask = (
            (known[rows], asked)
            if extra is None
            else (
                np.column_stack([known[rows], extra[0][rows]]),
                np.column_stack([asked, extra[1]]),
            )
        )
        model = LogisticRegression(C=STRENGTH, max_iter=1000).fit(fit, truth)
        scores[label] = model.decision_function(ask)
    return pd.DataFrame(scores)


def boosted(
    train: np.ndarray, test: np.ndarray, targets: pd.DataFrame, rows: np.ndarray
) -> pd.DataFrame:
    """Log-odds (test ECGs, labels) of gradient boosting; a constant where there is one class."""
    return probe_scores(train, test, targets, rows, boosting)

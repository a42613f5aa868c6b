"""A supervised tagger that names an ECG's findings, so that an LLM can read about them.

This is the left side of the paper's Figure 1: an external classifier turns the ECG into words, and
the LLM answers from these words. Whatever has no tag (noise, axis, the stage of an infarction) is
lost.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import f1_score, precision_recall_curve

from ecg_lib.data.record import EcgRecord
from ecg_lib.encoders.token_cache import EcgTokens
from ecg_lib.errors import DataError
from ecg_lib.evaluation.probe import cached_features, linear
from ecg_lib.knowledge.findings import is_certain

MIN_POSITIVES = 10  # a finding with fewer training ECGs gets no tag
# scikit-learn's C of the probe, whose training labels are all known here. With the probe's default,
# 0.01, the mean F1 of the 62 tags of demo's simulated patients is 3 points lower.
STRENGTH = 0.05


class Tags:
    """Tagged ECGs that take the place of a store, so that reports are written from the tags.

    Parameters
    ----------
    tags : DataFrame
        bool, indexed by ecg_id, one column per code.

    Attributes
    ----------
    records : DataFrame
        ecg_id and labels (code -> 100 for every tag), one row per ECG.
    """

    def __init__(self, tags: pd.DataFrame):
        codes = np.array(tags.columns)
        labels = [dict.fromkeys(codes[row], 100.0) for row in tags.to_numpy(dtype=bool)]
        self.records = pd.DataFrame({"ecg_id": tags.index, "labels": labels})
        self._labels = dict(zip(tags.index, labels, strict=True))

    def record(self, ecg_id: str) -> EcgRecord:
        """Return one ECG with its tags as labels and without a signal.

        Raises
        ------
        DataError
            The ECG has no tags.
        """
        if ecg_id not in self._labels:
            raise DataError(f"{ecg_id}: has no tags; tag its cohort first")
        return EcgRecord(ecg_id, "", np.zeros((12, 0), np.float32), labels=self._labels[ecg_id])


def best_threshold(truth: NDArray[np.bool_], probability: NDArray) -> float:
    """Return the probability threshold with the highest F1, or 0.5 if there is no positive."""
    if not truth.any():
        return 0.5
    precision, recall, thresholds = precision_recall_curve(truth, probability)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    return float(thresholds[f1[:-1].argmax()])


def tag(records: pd.DataFrame, tokens: EcgTokens) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit a linear probe for every finding on the training ECGs, and tag all ECGs.

    Parameters
    ----------
    records : DataFrame
        `EcgStore.records`: ecg_id, labels and split, in any order.
    tokens : EcgTokens
        Encoder output of these ECGs.

    Returns
    -------
    tags : DataFrame
        bool, indexed by ecg_id, one column per code.
    quality : DataFrame
        code, positives (training ECGs), threshold (chosen on valid ECGs) and f1 (on test ECGs).

    Raises
    ------
    DataError
        No finding is frequent enough to be learned.
    """
    features = cached_features(tokens, tokens.rows(records["ecg_id"].tolist()))
    split = records["split"].to_numpy()
    train, valid, test = (split == name for name in ("train", "valid", "test"))
    present = pd.DataFrame(
        [{c: True for c, p in labels.items() if is_certain(p)} for labels in records["labels"]],
        index=records["ecg_id"],
    )
    present = present.notna()
    common = present.columns[present[train].sum() >= MIN_POSITIVES]
    common = [c for c in sorted(common) if not present.loc[train, c].all()]
    if not common:
        raise DataError(
            f"tagger: no finding occurs in {MIN_POSITIVES} or more, but not all, training ECGs; "
            "add patients"
        )
    known = present.loc[train, common]
    log_odds = linear(features[train], features, known, np.arange(len(known)), strength=STRENGTH)
    tags, quality = {}, []
    for code in common:
        truth, probability = present[code].to_numpy(), expit(log_odds[code].to_numpy())
        threshold = best_threshold(truth[valid], probability[valid])
        tags[code] = probability >= threshold
        f1 = f1_score(truth[test], tags[code][test]) if truth[test].any() else np.nan
        quality.append(
            {"code": code, "positives": int(truth[train].sum()), "threshold": threshold, "f1": f1}
        )
    return pd.DataFrame(tags, index=present.index), pd.DataFrame(quality)


def save_tags(records: pd.DataFrame, tokens: EcgTokens, folder: Path) -> None:
    """Tag all ECGs and write `tags.parquet` and `quality.csv` to `folder`."""
    tags, quality = tag(records, tokens)
    tags.reset_index().to_parquet(folder / "tags.parquet", index=False)
    quality.to_csv(folder / "quality.csv", index=False)


def load_tags(folder: Path) -> Tags:
    """Load the tags that `save_tags` wrote."""
    return Tags(pd.read_parquet(folder / "tags.parquet").set_index("ecg_id"))

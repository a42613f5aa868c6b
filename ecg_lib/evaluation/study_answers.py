"""What one model says of the test ECGs, at every fraction of the labels: a study's raw answers.

A model's *answers* are, for both kinds of labels and for each column of the table, its scores of
the test ECGs under each draw of labelled patients: array (draws, test ECGs, labels).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecg_lib.config import PretrainingStudy
from ecg_lib.evaluation import few_labels as few
from ecg_lib.evaluation.linear_probe import LABELS, drawn_rows
from ecg_lib.objectives.parts.clip import EcgClip

ZERO_SHOT, PROBE, WITH_TEXT = "zero-shot", "probe", "probe with text"
Probe = Callable[[pd.DataFrame, np.ndarray], pd.DataFrame]
Answers = dict[tuple[str, str], np.ndarray]  # (labels, column) -> (draws, test ECGs, labels)


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of one store to train and to test on, no patient in both, with their truth."""

    train: np.ndarray
    test: np.ndarray
    targets: Mapping[str, pd.DataFrame]  # labels -> of every ECG of the store, (N, labels) bool
    patients: np.ndarray  # of every ECG of the store

    def truth(self, labels: str, part: str = "test") -> pd.DataFrame:
        """(ECGs, labels) of one part."""
        return self.targets[labels].iloc[getattr(self, part)].reset_index(drop=True)


def column(reading: str, fraction: float) -> str:
    """Name of the table's column of a reading at a fraction of the labels."""
    return f"{reading}, {100 * fraction:g} %"


def draws(study: PretrainingStudy, fraction: float) -> range:
    """Seeds of the draws of labelled patients; all labels can be drawn in one way only."""
    return range(study.draws if fraction < 1 else 1)


def _probed(
    split: Split, labels: str, study: PretrainingStudy, probes: Mapping[str, Probe]
) -> Answers:
    """Answers of probes: reading -> function of targets and rows -> (test ECGs, labels)."""
    targets, patients = split.truth(labels, "train"), split.patients[split.train]
    answers = {}
    for fraction in study.fractions:
        rows = [
            drawn_rows(split.truth("superclasses", "train"), patients, fraction, seed)
            for seed in draws(study, fraction)
        ]
        for reading, probe in probes.items():
            answers[labels, column(reading, fraction)] = np.stack(
                [probe(targets, own).to_numpy(np.float32) for own in rows]
            )
    return answers


def encoder_answers(
    train: Mapping[str, np.ndarray],
    test: Mapping[str, np.ndarray],
    clip: EcgClip,
    tokenizer,
    split: Split,
    study: PretrainingStudy,
) -> Answers:
    """Answers of one encoder, from the features (`few_labels.clip_features`) of both parts."""
    answers: Answers = {}
    both = train["tokens"], test["tokens"]
    for labels in LABELS:
        text = [few.text_scores(part["embed"], clip, tokenizer, labels) for part in (train, test)]
        answers[labels, ZERO_SHOT] = text[1].to_numpy(np.float32)[None]
        probes = {PROBE: lambda targets, rows: few.linear(*both, targets, rows)}
        if labels == "superclasses":
            probes[WITH_TEXT] = lambda targets, rows, text=tuple(text): few.linear(
                *both, targets, rows, text
            )
        answers |= _probed(split, labels, study, probes)
    return answers


def boosting_answers(features: np.ndarray, split: Split, study: PretrainingStudy) -> Answers:
    """Answers of gradient boosting on hand features (N, F) of every ECG of the store."""
    both = features[split.train], features[split.test]
    probes = {PROBE: lambda targets, rows: few.boosted(*both, targets, rows)}
    answers: Answers = {}
    for labels in LABELS:
        answers |= _probed(split, labels, study, probes)
    return answers

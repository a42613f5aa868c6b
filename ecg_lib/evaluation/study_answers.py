"""What one model says of the test ECGs, at every fraction of the labels: a study's raw answers.

A model's *answers* are, for both evaluation sets and for each column of the table, its scores of
the test ECGs under each draw of labelled patients: array (draws, test ECGs, labels).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from ecg_lib.evaluation.hand_features import boosted
from ecg_lib.evaluation.probe import drawn_rows, linear
from ecg_lib.evaluation.task import load_task
from ecg_lib.evaluation.text_scores import text_scores
from ecg_lib.objectives.parts.clip import EcgClip

if TYPE_CHECKING:
    from ecg_lib.config import PretrainingStudy

SUPERCLASSES = "superclasses"
TASKS = MappingProxyType(
    {task.name: task for task in map(load_task, ("superclasses.yaml", "findings.yaml"))}
)
ZERO_SHOT, PROBE, WITH_TEXT = "zero-shot", "probe", "probe with text"
Probe = Callable[[pd.DataFrame, np.ndarray], pd.DataFrame]
Answers = dict[tuple[str, str], np.ndarray]  # (task, column) -> (draws, test ECGs, labels)


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of one store to train and to test on, no patient in both, with their truth."""

    train: np.ndarray
    test: np.ndarray
    targets: Mapping[str, pd.DataFrame]  # task -> of every ECG of the store, (N, labels) bool
    patients: np.ndarray  # of every ECG of the store

    def truth(self, task: str, part: str = "test") -> pd.DataFrame:
        """(ECGs, labels) of one part."""
        return self.targets[task].iloc[getattr(self, part)].reset_index(drop=True)


def column(reading: str, fraction: float) -> str:
    """Name of the table's column of a reading at a fraction of the labels."""
    return f"{reading}, {100 * fraction:g} %"


def labelled_rows(split: Split, study: PretrainingStudy) -> dict[float, list[np.ndarray]]:
    """Fraction -> rows of the training part whose labels are known, one array per draw.

    They are the same for both tasks. All labels can be drawn in one way only.
    """
    truth, patients = split.truth(SUPERCLASSES, "train"), split.patients[split.train]
    return {
        fraction: [
            drawn_rows(truth, patients, fraction, seed)
            for seed in range(study.draws if fraction < 1 else 1)
        ]
        for fraction in study.fractions
    }


def _probed(
    split: Split, task: str, study: PretrainingStudy, probes: Mapping[str, Probe]
) -> Answers:
    """Answers of probes: reading -> function of targets and rows -> (test ECGs, labels)."""
    targets = split.truth(task, "train")
    return {
        (task, column(reading, fraction)): np.stack(
            [probe(targets, rows).to_numpy(np.float32) for rows in drawn]
        )
        for fraction, drawn in labelled_rows(split, study).items()
        for reading, probe in probes.items()
    }


def encoder_answers(
    train: np.ndarray,
    test: np.ndarray,
    split: Split,
    study: PretrainingStudy,
    clip: EcgClip | None = None,
    tokenizer=None,
) -> Answers:
    """Answers of a frozen encoder, from its features (`probe.encoder_features`) of both parts.

    Without a CLIP around it, an encoder has no texts: it is probed and nothing else.
    """
    answers: Answers = {}
    for name, task in TASKS.items():
        probes = {PROBE: partial(linear, train, test)}
        if clip is not None:
            width = clip.ecg_encoder.config.width  # the features begin with [CLS]
            cls = (torch.from_numpy(part[:, :width]) for part in (train, test))
            text = tuple(text_scores(own, clip, tokenizer, task.prompts) for own in cls)
            answers[name, ZERO_SHOT] = text[1].to_numpy(np.float32)[None]
            if name == SUPERCLASSES:
                probes[WITH_TEXT] = partial(linear, train, test, text=text)
        answers |= _probed(split, name, study, probes)
    return answers


def boosting_answers(
    train: np.ndarray, test: np.ndarray, split: Split, study: PretrainingStudy
) -> Answers:
    """Answers of gradient boosting on the hand features of both parts."""
    answers: Answers = {}
    for task in TASKS:
        answers |= _probed(split, task, study, {PROBE: partial(boosted, train, test)})
    return answers

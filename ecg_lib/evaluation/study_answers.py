"""Scores of one model for the test ECGs at every fraction of the labels: the study's raw data.

A model's *answers* are its scores of the test ECGs under each draw of labelled patients, as an
array (draws, test ECGs, labels). There is one array per evaluation set and column of the table.
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
    """Rows of one store to train and to test on, with no patient in both, and the true labels."""

    train: np.ndarray
    test: np.ndarray
    targets: Mapping[str, pd.DataFrame]  # task -> (N, labels) bool, for every ECG of the store
    patients: np.ndarray  # (N,), for every ECG of the store

    def truth(self, task: str, part: str = "test") -> pd.DataFrame:
        """Return the true labels of one part, "train" or "test", as (ECGs, labels) bool."""
        return self.targets[task].iloc[getattr(self, part)].reset_index(drop=True)


def column(reading: str, fraction: float) -> str:
    """Return the name of the table column for a reading at a fraction of the labels."""
    return f"{reading}, {100 * fraction:g} %"


def labelled_rows(split: Split, study: PretrainingStudy) -> dict[float, list[np.ndarray]]:
    """Draw the rows of the training part whose labels are known.

    The rows are the same for both tasks. A fraction of 1 has one draw only.

    Returns
    -------
    dict of float to list of (n,) int
        One array per draw, by fraction.
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
    """Return the answers of probes, functions of targets and rows that score the test ECGs."""
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
    """Return the answers of a frozen encoder.

    Parameters
    ----------
    train, test : (n, F) float32
        Features of both parts, from `probe.encoder_features`.
    clip : EcgClip, optional
        The CLIP model around the encoder. An encoder without one has no texts and is only probed.
    tokenizer : PreTrainedTokenizerBase, optional
        Tokenizer of the text encoder; needed with `clip`.

    Returns
    -------
    dict of (task, column) to (draws, test ECGs, labels) float32
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
    """Return the answers of gradient boosting.

    Parameters
    ----------
    train, test : (n, F) float
        Features of both parts, from `hand_features.hand_features`.

    Returns
    -------
    dict of (task, column) to (draws, test ECGs, labels) float32
    """
    answers: Answers = {}
    for task in TASKS:
        answers |= _probed(split, task, study, {PROBE: partial(boosted, train, test)})
    return answers

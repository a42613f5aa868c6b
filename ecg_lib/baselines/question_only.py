"""Baselines that answer without any ECG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from ecg_lib.encoders.token_cache import EcgTokens
from ecg_lib.questions.bias import word_counter
from ecg_lib.questions.closed_vocabulary import admitted_matrix, answer_matrix, decode
from ecg_lib.questions.schema import template_key
from ecg_lib.questions.vocabulary import answer_text


def majority_answers(train: pd.DataFrame, rows: pd.DataFrame) -> pd.Series:
    """Return the most frequent training answer to each row's template question.

    A question never asked in training gets the most frequent answer of its question type. Ties go
    to the answer that comes first in the alphabet.

    Parameters
    ----------
    train, rows : DataFrame
        Question rows in ECG-QA's schema.

    Returns
    -------
    Series of str, indexed as `rows`
    """
    known = pd.DataFrame(
        {
            "key": template_key(train),
            "type": train["question_type"],
            "text": train["answer"].map(answer_text),
        }
    )
    by_key = known.groupby("key")["text"].agg(lambda t: t.mode().iloc[0])
    by_type = known.groupby("type")["text"].agg(lambda t: t.mode().iloc[0])
    said = template_key(rows).map(by_key)
    return said.fillna(rows["question_type"].map(by_type)).fillna("").rename("prediction")


def question_only_answers(train: pd.DataFrame, rows: pd.DataFrame) -> pd.Series:
    """Answer with a classifier that reads the words of the question and nothing else.

    Each answer of the closed list has a logistic regression on words and word pairs. It is fitted
    on the training questions that admit this answer. The probabilities are decoded as for every
    other classifier (`closed_vocabulary.decode`).

    Parameters
    ----------
    train, rows : DataFrame
        Question rows in ECG-QA's schema.

    Returns
    -------
    Series of str, indexed as `rows`
    """
    counter = word_counter()
    words = counter.fit_transform(train["question"])
    asked = counter.transform(rows["question"])
    admitted, given = admitted_matrix(train), answer_matrix(train)
    wanted = admitted_matrix(rows)
    probabilities = np.zeros(wanted.shape)
    for answer in np.flatnonzero(wanted.any(axis=0)):
        own, ask = admitted[:, answer] | given[:, answer], wanted[:, answer]
        truth = given[own, answer]
        if not truth.any() or truth.all():  # only one class, or no training question admits it
            probabilities[ask, answer] = float(truth.any())
            continue
        reader = LogisticRegression(max_iter=1000).fit(words[own], truth)
        probabilities[ask, answer] = reader.predict_proba(asked[ask])[:, 1]
    return decode(probabilities, rows)


class ZeroTokens:
    """ECG tokens that are all zero, to ask a model the same questions without an ECG.

    They take the place of `EcgTokens` when a model answers.
    """

    def __init__(self, tokens: EcgTokens):
        self._shape = tokens.tokens.shape[1:]

    def get(self, ecg_ids: Sequence[str]) -> Tensor:
        """Return zeros of shape (E, n, D)."""
        return torch.zeros(len(ecg_ids), *self._shape)

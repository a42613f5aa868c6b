"""Four models whose verdict is known before the test: three are blind, one knows the truth.

They are called as any model is: they are given signals and questions. A model that needs to know
which ECG it is shown recognises it by its samples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ecg_lib.blind_test.question_set import QuestionSet, answer_of, closed
from ecg_lib.questions.vocabulary import NO, YES

Ecgs = Sequence[Sequence[np.ndarray]]


class AlwaysNo:
    """Answer no to everything."""

    name = "always no"

    def __call__(self, ecgs: Ecgs, questions: Sequence[str]) -> list[str]:
        """Return "no" for every question."""
        return [NO] * len(questions)


class QuestionOnly:
    """Give the most common answer to a question, in any of its wordings, whatever the ECG.

    Parameters
    ----------
    questions : QuestionSet
        The answers are learned from its rows, those of the test among them.
    """

    name = "question only"

    def __init__(self, questions: QuestionSet):
        rows = questions.rows
        by_key = answer_of(rows).groupby(rows["key"]).agg(lambda texts: texts.mode().iloc[0])
        self._by_words = dict(zip(rows["question"], rows["key"].map(by_key), strict=True))

    def __call__(self, ecgs: Ecgs, questions: Sequence[str]) -> list[str]:
        """Return the most common answer to each question."""
        return [self._by_words.get(question, NO) for question in questions]


class _Recognises:
    """Finds the ids of ECGs by their samples."""

    def __init__(self, questions: QuestionSet):
        ids = questions.ecgs["ecg_id"].tolist()
        self._ids = {}
        for start in range(0, len(ids), 1000):
            some = ids[start : start + 1000]
            for ecg, own in zip(some, questions.signals(some), strict=True):
                self._ids[_digest(own)] = ecg

    def of(self, ecgs: Sequence[np.ndarray]) -> list[str | None]:
        """Return the id of each ECG; None if it is not in the set."""
        return [self._ids.get(_digest(own)) for own in ecgs]


class IllOnly:
    """Answer yes if the ECG (the later of two) is not normal, whatever the question."""

    name = "ill only"

    def __init__(self, questions: QuestionSet):
        self._find = _Recognises(questions)
        known = questions.ecgs[questions.ecgs["normal"].notna()]
        self._normal = dict(zip(known["ecg_id"], known["normal"].astype(bool), strict=True))

    def __call__(self, ecgs: Ecgs, questions: Sequence[str]) -> list[str]:
        """Return yes where the ECG is known and not normal, else no."""
        return [NO if self._normal.get(self._find.of(own)[-1], True) else YES for own in ecgs]


class TrueLabels:
    """Give the true answer about the ECG that is shown.

    A yes/no question is answered with no if its answer for this ECG is not known.
    """

    name = "true labels"

    def __init__(self, questions: QuestionSet):
        self._find = _Recognises(questions)
        rows = questions.rows
        self._key = dict(zip(rows["question"], rows["key"], strict=True))
        asked = zip(rows["ecg_id"].map(tuple), rows["key"], strict=True)
        self._own = dict(zip(asked, answer_of(rows), strict=True))
        self._row = rows.drop_duplicates("question").set_index("question", drop=False)
        self._truth = questions.truth
        self._closed = dict(zip(rows["question"], closed(rows), strict=True))

    def __call__(self, ecgs: Ecgs, questions: Sequence[str]) -> list[str]:
        """Return the true answer to each question."""
        ids = [tuple(self._find.of(own)) for own in ecgs]
        said = [self._own_answer(i, question) for i, question in zip(ids, questions, strict=True)]
        unknown = [k for k, text in enumerate(said) if text is None and None not in ids[k]]
        if self._truth is not None and unknown:
            rows = self._row.loc[[questions[k] for k in unknown]].reset_index(drop=True)
            rows = rows.assign(ecg_id=[list(ids[k]) for k in unknown])
            for k, text in zip(unknown, self._truth(rows), strict=True):
                said[k] = None if pd.isna(text) else text
        return [
            text if text is not None else (NO if self._closed.get(question, True) else "none")
            for text, question in zip(said, questions, strict=True)
        ]

    def _own_answer(self, ids: tuple, question: str) -> str | None:
        return self._own.get((ids, self._key[question]))


def _digest(signal_mv: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(signal_mv, np.float32).tobytes()).digest()


KNOWN = {
    "always-no": lambda _: AlwaysNo(),
    "question-only": QuestionOnly,
    "ill-only": IllOnly,
    "true-labels": TrueLabels,
}

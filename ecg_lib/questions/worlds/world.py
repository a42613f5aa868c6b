"""Define the base class of the worlds; each world adds who is asked a verify question."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from ecg_lib.questions.draw import Drawn, Pool, Sizes, choose, query
from ecg_lib.questions.templates import Question

Pairs = np.ndarray | None


@dataclass(frozen=True)
class World(ABC):
    """Rule for which ECGs each question is asked about.

    Every ECG gives its true answer in every world. Worlds differ in the ECGs that a verify (yes/no)
    question is asked about. In all of them, choose and query questions are drawn by their answer.
    `strength` is how strongly severity (how ill the patient is) decides who is asked, in [0, 1].
    """

    strength: float = 1.0

    @abstractmethod
    def verify(
        self, question: Question, pool: Pool, size: Sizes, rng: np.random.Generator, pairs: Pairs
    ) -> list[Drawn]:
        """Draw the ECGs (or `pairs`) that a yes/no question is asked about; none if not asked."""

    def sizes(self, per_answer: int) -> Sizes:
        """Return row counts with which a yes/no question has about `per_answer` rows per answer."""
        return Sizes.per_answer(per_answer)

    def choose(
        self, question: Question, pool: Pool, size: Sizes, rng: np.random.Generator
    ) -> list[Drawn]:
        """Draw the ECGs that a question with two options is asked about."""
        return choose(question, pool, size.choose, rng)

    def query(
        self, question: Question, pool: Pool, size: Sizes, rng: np.random.Generator, pairs: Pairs
    ) -> list[Drawn]:
        """Draw the ECGs (or `pairs`) that an open question is asked about."""
        n = size.query if pairs is None else size.comparison_query
        return query(question, pool, n, size.query_rows, rng, pairs)

"""What every world of asking offers; a world of its own only says whom a verify question meets."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from ecg_lib.questions.draw import Drawn, Pool, Sizes, choose, query
from ecg_lib.questions.templates import Question

Pairs = np.ndarray | None


@dataclass(frozen=True)
class World(ABC):
    """Who is asked what.

    Every ECG answers truthfully in every world. Worlds differ in the ECGs that a verify question
    is put to; choose and query are drawn by answer in all of them.
    """

    strength: float = 1.0

    @abstractmethod
    def verify(
        self, question: Question, pool: Pool, size: Sizes, rng: np.random.Generator, pairs: Pairs
    ) -> list[Drawn]:
        """The ECGs (or ``pairs``) that a yes/no question is put to; none where it is not asked."""

    def sizes(self, per_answer: int) -> Sizes:
        """Rows per question where a yes/no question has about ``per_answer`` for each answer."""
        return Sizes.per_answer(per_answer)

    def choose(
        self, question: Question, pool: Pool, size: Sizes, rng: np.random.Generator
    ) -> list[Drawn]:
        """The ECGs that a question with two options is put to."""
        return choose(question, pool, size.choose, rng)

    def query(
        self, question: Question, pool: Pool, size: Sizes, rng: np.random.Generator, pairs: Pairs
    ) -> list[Drawn]:
        """The ECGs (or ``pairs``) that an open question is put to."""
        n = size.query if pairs is None else size.comparison_query
        return query(question, pool, n, size.query_rows, rng, pairs)

"""do(question): every yes/no question is put to as many ECGs, whatever they are and answer.

The graph is severity -> ECG, (question, ECG) -> answer, with no arrow into the question. A question
tells how common its finding is, which is no bias. Most answers are no: findings are rare.
"""

import numpy as np

from ecg_lib.questions.draw import Drawn, Pool, Sizes, ecgs_of, take, verify_masks
from ecg_lib.questions.templates import Question
from ecg_lib.questions.vocabulary import NO, NOT_SURE, YES
from ecg_lib.questions.worlds.world import Pairs, World


class Asking(World):
    """ECGs by lot; ``strength`` changes nothing."""

    def verify(
        self, question: Question, pool: Pool, size: Sizes, rng: np.random.Generator, pairs: Pairs
    ) -> list[Drawn]:
        """Twice ``size.verify`` ECGs (or ``size.comparison_verify`` pairs) whose record can say."""
        masks = verify_masks(question, pool, pairs)
        if min(masks[YES].sum(), masks[NO].sum()) < size.min_positive:
            return []
        n = 2 * (size.verify if pairs is None else size.comparison_verify)
        can_say = np.any(list(masks.values()), axis=0)
        answers = [answer for answer in (YES, NOT_SURE, NO) if answer in masks]  # pairs: two
        return [
            Drawn(ecgs_of(i, pairs), [next(a for a in answers if masks[a][i])])
            for i in take(np.flatnonzero(can_say), n, rng)
        ]

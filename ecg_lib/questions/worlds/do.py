"""Ask every yes/no question about ECGs drawn at random: the intervention do(question).

The causal graph is severity -> ECG and (question, ECG) -> answer. No arrow enters the question:
neither severity (how ill the patient is) nor the answer decides who is asked. A question still
tells how common its finding is, which is not bias. Most answers are no, because findings are rare.
"""

import numpy as np

from ecg_lib.questions.draw import Drawn, Pool, Sizes, ecgs_of, take, verify_masks
from ecg_lib.questions.templates import Question
from ecg_lib.questions.vocabulary import NO, NOT_SURE, YES
from ecg_lib.questions.worlds.world import Pairs, World


class Asking(World):
    """ECGs drawn at random; `strength` has no effect."""

    def verify(
        self, question: Question, pool: Pool, size: Sizes, rng: np.random.Generator, pairs: Pairs
    ) -> list[Drawn]:
        """Draw twice `size.verify` ECGs (or `comparison_verify` pairs) with a known answer."""
        masks = verify_masks(question, pool, pairs)
        if min(masks[YES].sum(), masks[NO].sum()) < size.min_positive:
            return []
        n = 2 * (size.verify if pairs is None else size.comparison_verify)
        can_say = np.any(list(masks.values()), axis=0)
        answers = [answer for answer in (YES, NOT_SURE, NO) if answer in masks]  # pairs: yes, no
        return [
            Drawn(ecgs_of(i, pairs), [next(a for a in answers if masks[a][i])])
            for i in take(np.flatnonzero(can_say), n, rng)
        ]

"""The law by which ECG-QA was drawn: by answer, at most one yes to two no, whoever is ill.

A program made ECG-QA (Oh et al. 2023, fairseq-signals' instantiate_template.py). Of the ECGs that
answer yes, "not sure" and no it took a fixed number each, Y, U and N being all there are:

==================================  =================  ==========  ======================
one ECG, train                      min(Y, 100)        min(U, 100)  min(N, 200, 5 x yes)
one ECG, valid and test             min(Y, 20)         min(U, 20)   min(N, 40, 5 x yes)
two ECGs, train                     min(Y, 50, 5 N)    -            min(N, 100, 5 Y)
two ECGs, valid and test            min(Y, 10, 5 N)    -            min(N, 20, 5 Y)
==================================  =================  ==========  ======================

The causal graph is question -> answer <- ECG, and a selection node with the arrows question -> S
and answer -> S: rows exist by their answer. Severity has no arrow to the question. A cohort smaller
than PTB-XL has smaller caps, in the same ratios: ``sizes(n)`` stands for 100 (or 20) of the table.

In a comparison yes and no differ in one of the two ECGs. "No longer there": (there, gone) against
(there, there); "still there" is its mirror; "newly there": (absent, there) against (absent,
absent); "still absent" is its mirror.
"""

import numpy as np

from ecg_lib.questions.draw import Drawn, Pool, Sizes, choose, ecgs_of, query, take, verify_masks
from ecg_lib.questions.facets import CHANGES
from ecg_lib.questions.templates import Question
from ecg_lib.questions.vocabulary import NO, NOT_SURE, YES
from ecg_lib.questions.worlds.world import Pairs, World

NO_PER_YES = 2  # of the caps
MOST_PER_RARE = 5  # rows of one answer for each row of the other, where that is rare


class Asking(World):
    """ECG-QA's own draw; ``strength`` changes nothing."""

    def sizes(self, per_answer: int) -> Sizes:
        """Caps in ECG-QA's ratios: ``per_answer`` is the cap on yes of a question on one ECG.

        At 100 a comparison has 50, a choose 10 an answer, a query 50 an answer set. How many
        option pairs are chosen between is not ECG-QA's, nor is the bound on a query's rows.
        """
        half = max(1, round(per_answer / 2))
        return Sizes(
            verify=per_answer,
            broad=per_answer,
            choose=max(1, round(per_answer / 10)),
            query=half,
            comparison_verify=half,
            comparison_query=half,
            choose_questions=36,
            query_rows=10 * per_answer,
        )

    def verify(
        self, question: Question, pool: Pool, size: Sizes, rng: np.random.Generator, pairs: Pairs
    ) -> list[Drawn]:
        """Rows by answer: see the table above."""
        if pairs is not None:
            return _comparison(question, pool, size.comparison_verify, rng, pairs)
        masks = verify_masks(question, pool, None)
        caps = caps_of(masks, size.verify)
        if not caps[YES]:  # without a yes there is no question, only a list of those who lack it
            return []
        return [
            Drawn((int(i),), [answer])
            for answer, cap in caps.items()
            for i in take(np.flatnonzero(masks[answer]), cap, rng)
        ]

    def choose(
        self, question: Question, pool: Pool, size: Sizes, rng: np.random.Generator
    ) -> list[Drawn]:
        """As many ECGs with either option, with both and with none."""
        return choose(question, pool, size.choose, rng, none=size.choose)

    def query(
        self, question: Question, pool: Pool, size: Sizes, rng: np.random.Generator, pairs: Pairs
    ) -> list[Drawn]:
        """As many ECGs for each answer set, twice as many for the empty one."""
        n = size.query if pairs is None else size.comparison_query
        return query(question, pool, n, size.query_rows, rng, pairs, none=2 * n)


def caps_of(masks: dict[str, np.ndarray], cap: int) -> dict[str, int]:
    """Rows of each answer to a question on one ECG, of those in ``masks`` who give it."""
    have = {answer: int(mask.sum()) for answer, mask in masks.items()}
    n_yes = min(have[YES], cap)
    n_no = min(have[NO], NO_PER_YES * cap, MOST_PER_RARE * n_yes)
    return {YES: n_yes, NOT_SURE: min(have[NOT_SURE], cap), NO: n_no}


def _comparison(
    question: Question, pool: Pool, cap: int, rng: np.random.Generator, pairs: np.ndarray
) -> list[Drawn]:
    """Rows of a comparison; yes and no share what the first ECG shows."""
    template = question.template
    name, item = question.bind(template.facet), question.bind(template.item)
    has, known = pool.facets.has(name, item), pool.facets.known(name)
    before, after = CHANGES[template.ask]
    wanted = {YES: (before, after), NO: (before, not after)}
    if template.question_type.startswith("comparison_irrelevant"):
        patients = pool.records["patient_id"].to_numpy()
        sides = [np.flatnonzero(known & (has == value)) for value in (False, True)]
        most = NO_PER_YES * cap
        found = {
            answer: _strangers(sides[first], sides[second], patients, most, rng)
            for answer, (first, second) in wanted.items()
        }
    else:
        sayable = pairs[known[pairs].all(axis=1)]
        first, second = has[sayable].T
        found = {
            answer: sayable[(first == one) & (second == other)]
            for answer, (one, other) in wanted.items()
        }
    n_yes, n_no = len(found[YES]), len(found[NO])
    caps = {YES: min(cap, MOST_PER_RARE * n_no), NO: min(NO_PER_YES * cap, MOST_PER_RARE * n_yes)}
    return [
        Drawn(ecgs_of(i, found[answer]), [answer])
        for answer, most in caps.items()
        for i in take(np.arange(len(found[answer])), most, rng)
    ]


def _strangers(
    first: np.ndarray, second: np.ndarray, patients: np.ndarray, most: int, rng: np.random.Generator
) -> np.ndarray:
    """(m, 2) pairs of two patients, one ECG of each side, all different, m up to ``most``."""
    total = len(first) * len(second)
    tried = min(total, 20 * most + 200)  # more than enough: few ECGs share a patient
    chosen = rng.choice(total, size=tried, replace=False) if total else np.empty(0, dtype=int)
    columns = max(1, len(second))
    pairs = np.stack([first[chosen // columns], second[chosen % columns]], axis=1)
    return pairs[patients[pairs[:, 0]] != patients[pairs[:, 1]]][:most]

"""Draw rows by ECG-QA's law: a fixed quota per answer, however ill the patients are.

ECG-QA was made by a program (Oh et al. 2023, fairseq-signals' instantiate_template.py). For each
question it drew up to a fixed number of ECGs per answer, the *quota*, with twice as large a quota
for no as for yes. If Y, U and N ECGs in all answer yes, "not sure" and no, it drew:

==================================  =================  ===========  ======================
question on                         yes                not sure     no (yes: rows drawn)
==================================  =================  ===========  ======================
one ECG, train                      min(Y, 100)        min(U, 100)  min(N, 200, 5 x yes)
one ECG, valid and test             min(Y, 20)         min(U, 20)   min(N, 40, 5 x yes)
two ECGs, train                     min(Y, 50, 5 N)    -            min(N, 100, 5 Y)
two ECGs, valid and test            min(Y, 10, 5 N)    -            min(N, 20, 5 Y)
==================================  =================  ===========  ======================

The causal graph is question -> answer <- ECG, plus a selection node S with question -> S and
answer -> S: whether a row exists depends on its answer. Severity (how ill the patient is) has no
arrow into the question. A cohort smaller than PTB-XL has smaller caps in the same ratios:
`sizes(n)` puts n in place of the table's 100 (or 20).

In a comparison, yes and no differ only in the second ECG. For "no longer there", yes is (there,
gone) and no is (there, there); for "newly there", yes is (absent, there) and no is (absent,
absent). "Still there" and "still absent" are these two with yes and no exchanged.
"""

from typing import TypeVar

import numpy as np

from ecg_lib.questions.draw import Drawn, Pool, Sizes, choose, ecgs_of, query, take, verify_masks
from ecg_lib.questions.facets import CHANGES
from ecg_lib.questions.templates import Question
from ecg_lib.questions.vocabulary import NO, NOT_SURE, YES
from ecg_lib.questions.worlds.world import Pairs, World

Number = TypeVar("Number", int, float)
NO_PER_YES = 2  # cap on no rows, as a multiple of the cap on yes rows
MOST_PER_RARE = 5  # most rows of one answer per row of the other, if the other is rare


class Asking(World):
    """ECG-QA's own draw; `strength` has no effect."""

    def sizes(self, per_answer: int) -> Sizes:
        """Return caps in ECG-QA's ratios; `per_answer` caps the yes rows of a one-ECG question.

        At 100, the cap is 50 yes rows for a comparison, 10 rows per answer for a choose question
        and 50 per answer set for a query question. The limits on option pairs and on the rows of a
        query question are ours, not ECG-QA's.
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
        """Draw rows by their answer, as in the table at the head of this module."""
        if pairs is not None:
            return _comparison(question, pool, size.comparison_verify, rng, pairs)
        masks = verify_masks(question, pool, None)
        caps = caps_of(masks, size.verify)
        if not caps[YES]:  # then 5 x yes allows no "no" either: the question is not asked
            return []
        return [
            Drawn((int(i),), [answer])
            for answer, cap in caps.items()
            for i in take(np.flatnonzero(masks[answer]), cap, rng)
        ]

    def choose(
        self, question: Question, pool: Pool, size: Sizes, rng: np.random.Generator
    ) -> list[Drawn]:
        """Draw equally many ECGs with either option, with both and with neither."""
        return choose(question, pool, size.choose, rng, none=size.choose)

    def query(
        self, question: Question, pool: Pool, size: Sizes, rng: np.random.Generator, pairs: Pairs
    ) -> list[Drawn]:
        """Draw equally many ECGs per answer set, and twice as many for the empty one."""
        n = size.query if pairs is None else size.comparison_query
        return query(question, pool, n, size.query_rows, rng, pairs, none=2 * n)


def caps_of(masks: dict[str, np.ndarray], cap: Number) -> dict[str, Number]:
    """Return the rows to draw per answer to a question on one ECG; `masks` say who gives which.

    A cap scaled to a sample of ECGs need not be whole, and then neither are the rows.
    """
    have = {answer: int(mask.sum()) for answer, mask in masks.items()}
    n_yes = min(have[YES], cap)
    n_no = min(have[NO], NO_PER_YES * cap, MOST_PER_RARE * n_yes)
    return {YES: n_yes, NOT_SURE: min(have[NOT_SURE], cap), NO: n_no}


def _comparison(
    question: Question, pool: Pool, cap: int, rng: np.random.Generator, pairs: np.ndarray
) -> list[Drawn]:
    """Draw the rows of a comparison; yes and no agree in what the first ECG shows."""
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
    """Draw up to `most` different pairs of two patients, one ECG from each side: (m, 2)."""
    total = len(first) * len(second)
    tried = min(total, 20 * most + 200)  # more than enough: few ECGs share a patient
    chosen = rng.choice(total, size=tried, replace=False) if total else np.empty(0, dtype=int)
    columns = max(1, len(second))
    pairs = np.stack([first[chosen // columns], second[chosen % columns]], axis=1)
    return pairs[patients[pairs[:, 0]] != patients[pairs[:, 1]]][:most]

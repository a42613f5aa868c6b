"""Which ECGs a question is asked of: balanced draws, hard negatives, the confounded law.

The confounded law is the paper's structural causal model (Figure 2a) as a sampler. Severity (a
normal or an abnormal ECG) decides which question is asked: broad questions go mostly to normal
ECGs, specific ones mostly to abnormal ones. Severity also decides the ECG and with it the answer.
Every ECG answers truthfully. Broad questions: given severity, ECGs are drawn whatever they answer.
Specific ones are also chosen by answer among the ill (`finding_share`), whatever the strength;
adjusting for severity cannot undo that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecg_lib.questions.facets import CHANGES, FacetTable, named
from ecg_lib.questions.templates import Question
from ecg_lib.questions.vocabulary import NO, NOT_SURE, YES


@dataclass(frozen=True)
class Sizes:
    """How many ECGs each template question is asked of.

    ``verify``, ``choose``, ``query`` count ECGs per answer (answer set) of single questions;
    ``comparison_verify``, ``comparison_query`` the same for pairs. ``broad`` counts those of the
    few broad verify questions, which need more of them for a ratio to be read off. A verify
    question needs ``min_positive`` ECGs for yes and for no. ``choose_questions`` bounds the option
    pairs of a template and ``query_rows`` the rows of one query question, whose answer sets may be
    very many.
    """

    verify: int = 20
    broad: int = 120
    choose: int = 6
    query: int = 6
    comparison_verify: int = 8
    comparison_query: int = 4
    min_positive: int = 5
    choose_questions: int = 12
    query_rows: int = 200

    @classmethod
    def per_answer(cls, n: int) -> "Sizes":
        """Sizes in proportion to the `n` ECGs that a yes/no question has per answer."""

        def some(share: float) -> int:
            return max(1, round(n * share))

        return cls(
            verify=n,
            broad=6 * n,
            choose=some(0.3),
            query=some(0.3),
            comparison_verify=some(0.25),
            comparison_query=some(0.25),
            min_positive=min(5, n),
            query_rows=10 * n,
        )


@dataclass(frozen=True)
class Law:
    """Who is asked what; ``strength`` 0: severity is ignored, 1: the ratios of the paper's Table 1.

    ``broad`` and ``specific`` are the shares of normal ECGs at strength 1 (the means of Table 1's
    three and four rows). ``finding_share`` is the share of the abnormal ECGs asked a specific
    question that have its finding: nature's share, a few percent, would make "no" the answer to all
    of them. At 0.66 and strength 1 as many say yes as no, which is how ECG-QA draws its verify
    questions; a larger share makes the question itself a stronger hint. ``unsure_share`` bounds the
    share answered "not sure".
    """

    strength: float = 1.0
    broad: float = 0.78
    specific: float = 0.24
    finding_share: float = 0.66
    unsure_share: float = 0.1

    def normal_share(self, kind: str, base: float) -> float:
        """Share of normal ECGs among those asked a question of ``kind``, in [0, 1]."""
        return base + self.strength * (getattr(self, kind) - base)


@dataclass(frozen=True)
class Drawn:
    """Rows to be: positions of the ECGs, answer, and whether the options are swapped."""

    ecgs: tuple[int, ...]
    answer: list[str]
    swap: bool = False


class Pool:
    """The ECGs of one split, what is known of them, and the pairs that can be compared."""

    def __init__(self, records: pd.DataFrame):
        self.records = records.reset_index(drop=True)
        self.normal = self.records["normal"].to_numpy(dtype=bool)
        self.facets = FacetTable(self.records["labels"], self.records["attributes"])
        self._pairs: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.records)

    def pairs(self, question_type: str, seed: Sequence[int]) -> np.ndarray:
        """(m, 2) positions, previous ECG first: of one patient in time, or of two patients."""
        if question_type not in self._pairs:
            consecutive = question_type.startswith("comparison_consecutive")
            self._pairs[question_type] = (
                self._consecutive()
                if consecutive
                else self._irrelevant(np.random.default_rng(seed))
            )
        return self._pairs[question_type]

    def _consecutive(self) -> np.ndarray:
        dated = self.records.loc[self.records.recorded_at.astype(str).ne("")]
        dated = dated.sort_values(["patient_id", "recorded_at"], kind="stable")
        same = dated.patient_id.to_numpy()[1:] == dated.patient_id.to_numpy()[:-1]
        # Two ECGs of one moment have no earlier one.
        same &= dated.recorded_at.to_numpy()[1:] != dated.recorded_at.to_numpy()[:-1]
        position = dated.index.to_numpy()
        return np.stack([position[:-1][same], position[1:][same]], axis=1)

    def _irrelevant(self, rng: np.random.Generator) -> np.ndarray:
        """Random pairs of patients; half share a finding, else "remaining" hardly occurs."""
        n = len(self)
        if n < 2:
            return np.empty((0, 2), dtype=int)
        wanted = min(20_000, 6 * n)
        random = rng.integers(n, size=(wanted // 2, 2))
        holders: dict[str, list[int]] = {}
        for position, names in enumerate(self.facets.sets("finding")):
            for name in sorted(names):
                holders.setdefault(name, []).append(position)
        shared = [v for _, v in sorted(holders.items()) if len(v) > 1]
        alike = [rng.choice(group, size=(wanted // 2 // len(shared), 2)) for group in shared]
        pairs = np.unique(np.concatenate([random, *alike]), axis=0)
        patients = self.records.patient_id.to_numpy()
        return rng.permutation(pairs[patients[pairs[:, 0]] != patients[pairs[:, 1]]])


def take(indices: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Up to ``n`` of ``indices``, without replacement."""
    return rng.permutation(indices)[: max(n, 0)]


def verify_masks(question: Question, pool: Pool, pairs: np.ndarray | None) -> dict[str, np.ndarray]:
    """Candidates (ECGs, or rows of ``pairs``) by answer, as boolean arrays."""
    template = question.template
    name = question.bind(template.facet)
    item = None if template.ask == "any" else question.bind(template.item)
    has, known = pool.facets.has(name, item), pool.facets.known(name)
    if pairs is not None:
        before, after = CHANGES[template.ask]
        known = known[pairs].all(axis=1)
        yes = (has[pairs[:, 0]] == before) & (has[pairs[:, 1]] == after)
        return {YES: yes & known, NO: ~yes & known}
    unsure = (
        pool.facets.has(template.unsure, item)
        if template.unsure
        else np.zeros(len(pool), dtype=bool)
    )
    return {YES: has & known & ~unsure, NO: ~has & known & ~unsure, NOT_SURE: unsure & known}


def balanced_verify(
    question: Question,
    pool: Pool,
    n: int,
    rng: np.random.Generator,
    pairs: np.ndarray | None = None,
    equal: bool = False,
) -> list[Drawn]:
    """Up to ``n`` yes and ``n`` no, whatever the severity; exactly as many of both if ``equal``.

    Half of the "no" to a question about a lead come from ECGs with the same finding in another
    lead, and those to a comparison come equally from the three ways in which it can fail.
    """
    masks = verify_masks(question, pool, pairs)
    if equal:
        n = min(n, int(masks[YES].sum()), int(masks[NO].sum()))
    yes = take(np.flatnonzero(masks[YES]), n, rng)
    no = np.flatnonzero(masks[NO])
    strata = [no]
    if pairs is not None:
        has = pool.facets.has(
            question.bind(question.template.facet), question.bind(question.template.item)
        )
        cell = 2 * has[pairs[no, 0]] + has[pairs[no, 1]]
        strata = [no[cell == value] for value in range(4) if (cell == value).any()]
    elif question.template.hard:
        elsewhere = pool.facets.has(question.bind(question.template.hard))[no]
        strata = [no[elsewhere], no[~elsewhere]]
    no = _spread(strata, n, rng)
    rows = [(YES, i) for i in yes] + [(NO, i) for i in no]
    return [Drawn(_ecgs(i, pairs), [answer]) for answer, i in rows]


def _spread(strata: list[np.ndarray], n: int, rng: np.random.Generator) -> np.ndarray:
    """``n`` indices taken in turn from the strata while they last."""
    shuffled = [rng.permutation(s) for s in strata]
    turn = np.concatenate([np.arange(len(s)) for s in shuffled]) if shuffled else np.array([])
    return np.concatenate(shuffled)[np.argsort(turn, kind="stable")][:n] if len(turn) else turn


def _ecgs(index: int, pairs: np.ndarray | None) -> tuple[int, ...]:
    return (int(index),) if pairs is None else tuple(int(i) for i in pairs[index])


def confounded_verify(
    question: Question, pool: Pool, n: int, law: Law, rng: np.random.Generator
) -> list[Drawn]:
    """Up to ``2 n`` ECGs, normal ones in the share that ``law`` gives to this kind of question.

    Normal ECGs, and for broad questions abnormal ones too, are drawn whatever they answer. Of the
    abnormal ECGs asked a specific question, ``law.finding_share`` have the finding. Where ECGs run
    short, all parts shrink together, so that the shares hold.
    """
    masks = verify_masks(question, pool, None)
    asked = masks[YES] | masks[NO] | masks[NOT_SURE]
    kind = question.template.kind
    share = law.normal_share(kind, float(pool.normal[asked].mean()) if asked.any() else 0.0)
    ill = asked & ~pool.normal
    # Parts: (candidates, share of the rows)
    parts = [(asked & pool.normal, share)]
    if kind == "broad":
        parts.append((ill, 1 - share))
    else:
        unsure = min(law.unsure_share, (ill & masks[NOT_SURE]).sum() / max(2 * n * (1 - share), 1))
        parts += [
            (ill & masks[YES], (1 - share) * law.finding_share),
            (ill & masks[NOT_SURE], (1 - share) * unsure),
            (ill & masks[NO], (1 - share) * (1 - law.finding_share - unsure)),
        ]
    total = min([2 * n] + [int(c.sum() / s) for c, s in parts if s > 0])
    chosen = np.concatenate([take(np.flatnonzero(c), round(total * s), rng) for c, s in parts])
    truth = np.select([masks[YES][chosen], masks[NOT_SURE][chosen]], [YES, NOT_SURE], NO)
    return [Drawn((int(i),), [str(answer)]) for i, answer in zip(chosen, truth, strict=True)]


def choose(question: Question, pool: Pool, n: int, rng: np.random.Generator) -> list[Drawn]:
    """``n`` ECGs with the one option, the other, and both, and half as many with none."""
    name = question.bind(question.template.facet)
    a, b = (pool.facets.has(name, question.values[key]) for key in ("a", "b"))
    known = pool.facets.known(name)
    drawn = []
    for mask, limit in ((a & ~b, n), (b & ~a, n), (a & b, n), (known & ~a & ~b, (n + 1) // 2)):
        for i in take(np.flatnonzero(mask), limit, rng):
            answer = named(question, [pool.facets.sets(name)[i]])
            drawn.append(Drawn((int(i),), answer, swap=bool(rng.integers(2))))
    return drawn


def query(
    question: Question,
    pool: Pool,
    n: int,
    limit: int,
    rng: np.random.Generator,
    pairs: np.ndarray | None = None,
) -> list[Drawn]:
    """Up to ``n`` ECGs (or pairs) per answer set, and at most ``limit`` in all."""
    sets = pool.facets.sets(question.bind(question.template.facet))
    candidates = np.arange(len(pool))[:, None] if pairs is None else pairs
    drawn, count, answers = [], {}, {}
    for ecgs in rng.permutation(candidates):
        known = tuple(sets[i] for i in ecgs)
        if known not in answers:
            answers[known] = None if None in known else named(question, known)
        answer = answers[known]
        if answer is None or count.get(tuple(answer), 0) >= n:
            continue
        count[tuple(answer)] = count.get(tuple(answer), 0) + 1
        drawn.append(Drawn(tuple(int(i) for i in ecgs), list(answer)))
    return [drawn[i] for i in sorted(take(np.arange(len(drawn)), limit, rng))]

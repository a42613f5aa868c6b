"""Find the ECGs that can be asked a question, and draw from them in ways that all worlds share.

`Pool` holds the ECGs of a split and the pairs that can be compared. `verify_masks` says which of
them would give which answer. Which of them *are* asked is decided in `ecg_lib.questions.worlds`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ecg_lib.questions.facets import CHANGES, FacetTable, named
from ecg_lib.questions.templates import Question
from ecg_lib.questions.vocabulary import NO, NOT_SURE, YES

if TYPE_CHECKING:
    from ecg_lib.questions.lead_facets import Facet


@dataclass(frozen=True)
class Sizes:
    """Number of ECGs that each template question is asked about.

    `verify`, `choose` and `query` count ECGs per answer (or answer set) of questions about one
    ECG; `comparison_verify` and `comparison_query` count pairs of ECGs. `broad` is the count for
    the few broad verify questions, whose ratios need more rows. A verify question needs
    `min_positive` ECGs for yes and for no. `choose_questions` limits the option pairs of a
    template, and `query_rows` the rows of one query question, which can have very many answer
    sets.
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
        """Return sizes in proportion to `n`, the ECGs per answer of a yes/no question."""

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
class Drawn:
    """A row to be written: positions of its ECGs, answer, and whether the options are swapped."""

    ecgs: tuple[int, ...]
    answer: list[str]
    swap: bool = False


class Pool:
    """The ECGs of one split, what is known about them, and the pairs that can be compared."""

    def __init__(self, records: pd.DataFrame):
        self.records = records.reset_index(drop=True)
        self.normal = self.records["normal"].to_numpy(dtype=bool)
        self.facets = FacetTable(self.records["labels"], self.records["attributes"])
        self._pairs: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.records)

    def pairs(self, question_type: str, seed: Sequence[int]) -> np.ndarray:
        """Return (m, 2) positions: two ECGs of one patient, earlier first, or of two patients."""
        if question_type not in self._pairs:
            consecutive = question_type.startswith("comparison_consecutive")
            self._pairs[question_type] = (
                self._consecutive()
                if consecutive
                else self._irrelevant(np.random.default_rng(seed))
            )
        return self._pairs[question_type]

    def _consecutive(self) -> np.ndarray:
        """Pair every ECG with each later one of its patient, as in ECG-QA (none of equal time)."""
        dated = self.records.loc[self.records.recorded_at.astype(str).ne("")]
        dated = dated.sort_values(["patient_id", "recorded_at"], kind="stable")
        when = dated.recorded_at.to_numpy()
        position = dated.index.to_numpy()
        found = [
            (position[i], position[j])
            for places in dated.groupby("patient_id", sort=True).indices.values()
            for i, j in combinations(places, 2)
            if when[i] != when[j]
        ]
        return np.array(found, dtype=int).reshape(-1, 2)

    def _irrelevant(self, rng: np.random.Generator) -> np.ndarray:
        """Draw pairs of two patients; half share a finding, else "still there" hardly occurs."""
        n = len(self)
        if n < 2:
            return np.empty((0, 2), dtype=int)
        wanted = min(20_000, 6 * n)
        random = rng.integers(n, size=(wanted // 2, 2))
        holders: dict[str, list[int]] = {}
        for position, names in enumerate(self.facets.sets("finding")):
            for name in sorted(names or ()):
                holders.setdefault(name, []).append(position)
        shared = [v for _, v in sorted(holders.items()) if len(v) > 1]
        alike = [rng.choice(group, size=(wanted // 2 // len(shared), 2)) for group in shared]
        pairs = np.unique(np.concatenate([random, *alike]), axis=0)
        patients = self.records.patient_id.to_numpy()
        return rng.permutation(pairs[patients[pairs[:, 0]] != patients[pairs[:, 1]]])


def take(indices: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw up to `n` of `indices` without replacement."""
    return rng.permutation(indices)[: max(n, 0)]


def verify_masks(question: Question, pool: Pool, pairs: np.ndarray | None) -> dict[str, np.ndarray]:
    """Return which candidates (ECGs, or rows of `pairs`) give each answer, as boolean arrays."""
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
    """Draw up to `n` yes and `n` no, however ill the patients; equally many of both if `equal`.

    For a question about a lead, half of the no rows are ECGs with the same finding in another lead.
    For a comparison, they come equally from the three ways in which the answer can be no.
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
    return [Drawn(ecgs_of(i, pairs), [answer]) for answer, i in rows]


def matched_verify(
    question: Question,
    pool: Pool,
    n: int,
    rng: np.random.Generator,
    pairs: np.ndarray | None,
    stratum: np.ndarray,
) -> list[Drawn]:
    """Draw up to `n` yes and `n` no, equally many of both within each stratum of severity.

    Severity is how ill the patient is (`ecg_lib.questions.severity`).
    `stratum` holds an integer per ECG; pairs are matched on the strata of both ECGs.
    """
    masks = verify_masks(question, pool, pairs)
    of = stratum if pairs is None else stratum[pairs[:, 0]] * (stratum.max() + 1)
    of = of if pairs is None else of + stratum[pairs[:, 1]]
    couples = []
    for value in np.unique(of):
        yes, no = (rng.permutation(np.flatnonzero(masks[a] & (of == value))) for a in (YES, NO))
        couples += list(zip(yes, no, strict=False))
    return [
        Drawn(ecgs_of(index, pairs), [answer])
        for couple in take(np.array(couples, dtype=int).reshape(-1, 2), n, rng)
        for answer, index in zip((YES, NO), couple, strict=True)
    ]


def _spread(strata: list[np.ndarray], n: int, rng: np.random.Generator) -> np.ndarray:
    """Take `n` indices from the strata in turn, while they last."""
    shuffled = [rng.permutation(s) for s in strata]
    turn = np.concatenate([np.arange(len(s)) for s in shuffled]) if shuffled else np.array([])
    return np.concatenate(shuffled)[np.argsort(turn, kind="stable")][:n] if len(turn) else turn


def ecgs_of(index: int, pairs: np.ndarray | None) -> tuple[int, ...]:
    """Return the positions of a candidate's ECGs: of one ECG, or of the two in a row of `pairs`."""
    return (int(index),) if pairs is None else tuple(int(i) for i in pairs[index])


def choose(
    question: Question, pool: Pool, n: int, rng: np.random.Generator, none: int | None = None
) -> list[Drawn]:
    """Draw up to `n` ECGs each with one option, the other and both; `none` (n / 2) with neither."""
    none = (n + 1) // 2 if none is None else none
    name = question.bind(question.template.facet)
    a, b = (pool.facets.has(name, question.values[key]) for key in ("a", "b"))
    known = pool.facets.known(name)
    drawn = []
    for mask, limit in ((a & ~b, n), (b & ~a, n), (a & b, n), (known & ~a & ~b, none)):
        for i in take(np.flatnonzero(mask), limit, rng):
            answer = named(question, [pool.facets.sets(name)[i]])
            assert answer is not None  # options are in ECG-QA's closed list, and so is "none"
            drawn.append(Drawn((int(i),), answer, swap=bool(rng.integers(2))))
    return drawn


def query(
    question: Question,
    pool: Pool,
    n: int,
    limit: int,
    rng: np.random.Generator,
    pairs: np.ndarray | None = None,
    none: int | None = None,
) -> list[Drawn]:
    """Draw up to `n` ECGs (or pairs) per answer set, `none` of the empty one, `limit` in all."""
    empty = [question.template.empty]
    sets = pool.facets.sets(question.bind(question.template.facet))
    candidates = np.arange(len(pool))[:, None] if pairs is None else pairs
    drawn: list[Drawn] = []
    count: dict[tuple[str, ...], int] = {}
    answers: dict[tuple[Facet, ...], list[str] | None] = {}
    for ecgs in rng.permutation(candidates):
        known = tuple(sets[i] for i in ecgs)
        if known not in answers:
            answers[known] = None if None in known else named(question, known)
        answer = answers[known]
        most = n if none is None or answer != empty else none
        if answer is None or count.get(tuple(answer), 0) >= most:
            continue
        count[tuple(answer)] = count.get(tuple(answer), 0) + 1
        drawn.append(Drawn(tuple(int(i) for i in ecgs), list(answer)))
    return [drawn[i] for i in sorted(take(np.arange(len(drawn)), limit, rng))]

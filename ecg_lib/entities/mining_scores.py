"""How well a miner reads: precision, recall, and what it wrongly takes as positive.

Positive is what a report asserts. A doubted or denied finding that a miner takes as positive is a
wrong label, so their shares stand beside precision and recall.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ecg_lib.data.simulated.told_report import ToldReport
from ecg_lib.entities.entity_set import EntitySet
from ecg_lib.entities.mention import Miner
from ecg_lib.knowledge.findings import name_of


@dataclass(frozen=True)
class MiningScores:
    """Scores of a miner, 0 to 1; NaN where there is nothing to count.

    The macro means are over codes that some report asserts; a code that is never found has
    precision 0.
    """

    reports: int
    asserted: int  # pairs of report and code
    precision: float
    recall: float
    f1: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    doubted: int  # pairs
    doubted_positive: float  # share
    denied: int  # reports with a negative sentence
    denied_positive: float  # share in which a denied finding or its superclass is positive


def scores(truth: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Compare labels.

    Parameters
    ----------
    truth, found : (N, C) bool

    Returns
    -------
    dict of str to float
        Precision, recall and F1 over all pairs, and their means over columns with a true positive.
    """
    hit, said, there = (truth & found).sum(0), found.sum(0), truth.sum(0)
    some = there > 0
    one = {"precision": _share(hit.sum(), said.sum()), "recall": _share(hit.sum(), there.sum())}
    one["f1"] = _share(2 * hit.sum(), said.sum() + there.sum())
    every = {
        "macro_precision": hit[some] / np.maximum(said[some], 1),
        "macro_recall": hit[some] / there[some],
        "macro_f1": 2 * hit[some] / (said[some] + there[some]),
    }
    return one | {
        name: float(v.mean()) if some.any() else float("nan") for name, v in every.items()
    }


def told_scores(
    miner: Miner, entities: EntitySet, told: Sequence[ToldReport], codes: Sequence[str]
) -> MiningScores:
    """Score a miner on reports of which is known what they say.

    Parameters
    ----------
    entities : EntitySet
        Holds the names of all `codes`.
    codes : sequence of str
        Findings that are compared.
    """
    labels = entities.matrix(miner.mine([report.text for report in told]))
    column = {name: k for k, name in enumerate(entities.names)}
    found = labels[:, [column[name_of(code)] for code in codes]]
    truth = _rows([report.asserted for report in told], codes)
    doubted = _rows([report.doubted for report in told], codes)
    above = _superclasses_of(entities, codes)
    denied = [
        (row, [column[name] for name in (*map(name_of, report.denied), *above(report.denied))])
        for row, report in enumerate(told)
        if report.denied
    ]
    wrong = sum(bool(labels[row, at].any()) for row, at in denied)
    return MiningScores(
        reports=len(told),
        asserted=int(truth.sum()),
        **scores(truth, found),
        doubted=int(doubted.sum()),
        doubted_positive=_share((found & doubted).sum(), doubted.sum()),
        denied=len(denied),
        denied_positive=_share(wrong, len(denied)),
    )


def code_scores(
    miner: Miner,
    entities: EntitySet,
    reports: Sequence[str],
    labels: Sequence[Mapping[str, float]],
    codes: Sequence[str],
    likelihood: float = 50.0,
) -> dict[str, float]:
    """Score a miner on reports that a reader labelled, such as those of PTB-XL.

    Parameters
    ----------
    labels : sequence of mapping
        For each report code -> likelihood in per cent; 0 means stated without a likelihood, which
        counts as certain.
    likelihood : float
        Least likelihood of a positive.

    Returns
    -------
    dict of str to float
        As `scores`, with the numbers of `reports`, of true pairs and of `codes` with a positive.
    """
    found = entities.matrix(miner.mine(reports))
    column = {name: k for k, name in enumerate(entities.names)}
    stated = [{c for c, at in own.items() if at == 0 or at >= likelihood} for own in labels]
    truth = _rows(stated, codes)
    result = scores(truth, found[:, [column[name_of(code)] for code in codes]])
    counts = {"reports": len(reports), "pairs": int(truth.sum())}
    return counts | {"codes": int(truth.any(0).sum())} | result


def as_row(result: MiningScores) -> dict[str, float]:
    """Return scores as a row of a table."""
    return asdict(result)


def _rows(said: Sequence[Collection[str]], codes: Sequence[str]) -> np.ndarray:
    return np.array([[code in own for code in codes] for own in said], bool).reshape(-1, len(codes))


def _superclasses_of(entities: EntitySet, codes: Sequence[str]):
    """Return a function from denied codes to the superclasses that are denied with them."""
    known = {name_of(code) for code in codes}
    inside = {name: known & set(own) for name, own in entities.superclass.items()}

    def above(denied: Sequence[str]) -> list[str]:
        names = set(map(name_of, denied))
        return [name for name, own in inside.items() if own and own <= names]

    return above


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")

"""A world in which people ask: severity decides who is asked what, and ECGs answer truthfully.

The structural causal model::

    severity -> question      severity -> ECG      (question, ECG) -> answer

A question about an ECG is asked for one of two reasons. Some are asked *in passing* (broad ones,
and every other finding): mostly of the well, who mostly lack the finding. Others are asked *on
suspicion*: mostly of the ill, who mostly have it. So each question has its own share of yes, which
moves away from one half as ``strength`` grows, and a reader of questions alone gains by it.

* Severity C is normal or not. Where nobody chooses (strength 0, do(question)) the share of normal
  ECGs is ``NORMAL`` for every question: that of a clinic, in which most are ill.
* P(normal | question) goes from ``NORMAL`` to ``IN_PASSING`` or ``ON_SUSPICION``, linearly in the
  strength. This is the only thing that the strength changes.
* P(yes | question, C) is fixed. Among the well it is the cohort's. Among the ill asked about a
  finding it is such that at strength 0 half of all answer yes: rare findings count more, as in a
  case-control study, else "no" would nearly always be right. Broad questions keep the cohort's.

Since severity is all that binds question and ECG, adjusting for it (equation 6 of the paper) gives
back what do(question) shows. Noise, axis, measurements and comparisons are controls: as many yes
as no whatever the severity.
"""

import numpy as np

from ecg_lib.questions.draw import Drawn, Pool, Sizes, balanced_verify, take, verify_masks
from ecg_lib.questions.templates import Question
from ecg_lib.questions.vocabulary import NO, NOT_SURE, YES
from ecg_lib.questions.worlds.world import Pairs, World

NORMAL, IN_PASSING, ON_SUSPICION = 0.25, 0.85, 0.05  # shares of normal ECGs among those asked
UNSURE = 0.1  # most rows of a question answered "not sure", as a share of its ill ECGs


def in_passing(question: Question) -> bool:
    """Whether a question is asked in passing; if not, on suspicion. The same in every split."""
    return question.template.kind == "broad" or bool(question.id % 2)


class Asking(World):
    """Severity asks, with ``strength`` in [0, 1]; 0 is do(question)."""

    def normal_share(self, question: Question) -> float:
        """P(normal | question), in [0, 1]."""
        end = IN_PASSING if in_passing(question) else ON_SUSPICION
        return NORMAL + self.strength * (end - NORMAL)

    def verify(
        self, question: Question, pool: Pool, size: Sizes, rng: np.random.Generator, pairs: Pairs
    ) -> list[Drawn]:
        """Twice ``size.verify`` ECGs, or fewer: as many as there are for every strength and reason.

        So a question has as many rows at one strength as at another.
        """
        masks = verify_masks(question, pool, pairs)
        if min(masks[YES].sum(), masks[NO].sum()) < size.min_positive:
            return []
        if question.template.kind not in ("broad", "specific"):
            n = size.verify if pairs is None else size.comparison_verify
            return balanced_verify(question, pool, n, rng, pairs)
        total = 2 * size.verify
        for normal in (NORMAL, IN_PASSING, ON_SUSPICION):
            needed = _parts(question, pool, masks, normal)
            total = min([total] + [int(len(who) / share) for who, share in needed])
        parts = _parts(question, pool, masks, self.normal_share(question))
        chosen = [take(who, round(total * share), rng) for who, share in parts]
        chosen = np.concatenate(chosen) if chosen else np.empty(0, dtype=int)
        truth = np.select([masks[YES][chosen], masks[NOT_SURE][chosen]], [YES, NOT_SURE], NO)
        return [Drawn((int(i),), [str(a)]) for i, a in zip(chosen, truth, strict=True)]


def _parts(
    question: Question, pool: Pool, masks: dict[str, np.ndarray], normal: float
) -> list[tuple[np.ndarray, float]]:
    """(candidates, share of the rows): the well by answer, the ill by answer."""
    well = {answer: mask & pool.normal for answer, mask in masks.items()}
    ill = {answer: mask & ~pool.normal for answer, mask in masks.items()}
    among_well, among_ill = _shares(well), _shares(ill)
    if question.template.kind == "specific":
        unsure = min(UNSURE, among_ill[NOT_SURE])
        said = among_well[YES] + among_well[NOT_SURE] / 2
        yes = np.clip((0.5 - NORMAL * said) / (1 - NORMAL) - unsure / 2, 0, 1 - unsure)
        among_ill = {YES: yes, NOT_SURE: unsure, NO: 1 - yes - unsure}
    wanted = [
        (np.flatnonzero(stratum[answer]), weight * shares[answer])
        for stratum, shares, weight in ((well, among_well, normal), (ill, among_ill, 1 - normal))
        for answer in (YES, NOT_SURE, NO)
    ]
    return [(who, share) for who, share in wanted if share > 0]


def _shares(stratum: dict[str, np.ndarray]) -> dict[str, float]:
    """Share of each answer in a stratum; 0 where it is empty."""
    total = sum(int(mask.sum()) for mask in stratum.values())
    return {answer: mask.sum() / max(total, 1) for answer, mask in stratum.items()}

"""Draw rows as if people asked the questions: severity decides who is asked what.

Severity C is how ill the patient is, here normal or not. It is a confounder in this structural
causal model, because it is a cause of both the question and the ECG::

    severity -> question      severity -> ECG      (question, ECG) -> answer

Each question is asked for one of two reasons. Broad questions, and those about every second
finding, are asked *in passing*, as in a routine check: mostly of the well, who mostly lack the
finding. The others are asked *on suspicion*, as when the patient seems to have the finding: mostly
of the ill, who mostly have it. Each question therefore has its own share of yes. As `strength`
grows, this share moves away from one half, and a model that reads only the question gains.

* At strength 0 nobody chooses whom to ask: this is do(question). The share of normal ECGs is
  `NORMAL` for every question, as in a clinic where most patients are ill.
* P(normal | question) moves linearly with the strength, from `NORMAL` to `IN_PASSING` or
  `ON_SUSPICION`. The strength changes nothing else.
* P(yes | question, C) is fixed. Among the well, it is the cohort's. Among the ill, for a question
  about a finding, it is set such that half of all answers are yes at strength 0. Rare findings are
  then over-represented, as in a case-control study; otherwise "no" would nearly always be right.
  For broad questions it is the cohort's among the ill, too.

Severity alone links question and ECG, so adjusting for it (equation 6 of the paper) recovers what
do(question) shows. Questions about noise, axis, measurements and two ECGs are controls: they are
drawn with as many yes as no, whatever the severity.
"""

import numpy as np

from ecg_lib.questions.draw import Drawn, Pool, Sizes, balanced_verify, take, verify_masks
from ecg_lib.questions.templates import Question
from ecg_lib.questions.vocabulary import NO, NOT_SURE, YES
from ecg_lib.questions.worlds.world import Pairs, World

NORMAL, IN_PASSING, ON_SUSPICION = 0.25, 0.85, 0.05  # shares of normal ECGs among those asked
UNSURE = 0.1  # largest share of "not sure" among a question's ill ECGs


def in_passing(question: Question) -> bool:
    """Return whether a question is asked in passing, else on suspicion; the same in all splits."""
    return question.template.kind == "broad" or bool(question.id % 2)


class Asking(World):
    """Severity decides who is asked, with `strength` in [0, 1]; 0 is do(question)."""

    def normal_share(self, question: Question) -> float:
        """Return P(normal | question), in [0, 1]."""
        end = IN_PASSING if in_passing(question) else ON_SUSPICION
        return NORMAL + self.strength * (end - NORMAL)

    def verify(
        self, question: Question, pool: Pool, size: Sizes, rng: np.random.Generator, pairs: Pairs
    ) -> list[Drawn]:
        """Draw twice `size.verify` ECGs, or fewer if the cohort does not have them.

        The number is one that the cohort can supply at every strength and for both reasons, so
        that a question has equally many rows at every strength.
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
        drawn = [take(who, round(total * share), rng) for who, share in parts]
        chosen = np.concatenate(drawn) if drawn else np.empty(0, dtype=int)
        truth = np.select([masks[YES][chosen], masks[NOT_SURE][chosen]], [YES, NOT_SURE], NO)
        return [Drawn((int(i),), [str(a)]) for i, a in zip(chosen, truth, strict=True)]


def _parts(
    question: Question, pool: Pool, masks: dict[str, np.ndarray], normal: float
) -> list[tuple[np.ndarray, float]]:
    """Return (candidates, share of the rows) for the well by answer, then the ill by answer."""
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
    """Return the share of each answer in a stratum; 0 where the stratum is empty."""
    total = sum(int(mask.sum()) for mask in stratum.values())
    return {answer: mask.sum() / max(total, 1) for answer, mask in stratum.items()}

"""The arms of the experiment: the one table from which every list, caption and legend is made.

An arm is an ECG-LLM that is told apart from the others by what stage 1 shows it, or by what LoRA
adapts. Encoder, language model and aligned projector are the same for all, and so is stage 2 for
those that have one. Which arms a profile trains says its field `arms`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Arm:
    """One way to train the ECG-LLM.

    Parameters
    ----------
    key : in params.yaml and in the names of folders
    title : in the rows of tables, in legends and captions
    stage1 : what stage 1 shows it, as a key of `stage1_rows`; empty: it has no stage 1
    shown : the same in words
    stage2 : whether it goes through stage 2; an arm without any stage answers as it was aligned
    adapted : modules of the LLM that LoRA adapts; by default `lora.target_modules` of the profile
    """

    key: str
    title: str
    stage1: str = ""
    shown: str = "no stage 1"
    stage2: bool = True
    adapted: tuple[str, ...] = ()

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that it is trained in."""
        return ("stage1",) * bool(self.stage1) + ("stage2",) * self.stage2


ARMS = {
    arm.key: arm
    for arm in (
        Arm("de-biased", "de-biased", "pairs", "yes/no pairs of one question"),
        Arm("control", "control", "unpaired", "as many rows, unpaired"),
        Arm("weighted", "weighted", "weighted", "the control's rows, weighted by severity"),
        Arm(
            "within-severity",
            "within severity",
            "within severity",
            "yes/no pairs of one question, both ECGs normal or neither",
        ),
        Arm(
            "de-biased-qk",
            "LoRA on q and k",
            "pairs",
            "yes/no pairs of one question, LoRA as in the paper",
            adapted=("q_proj", "k_proj"),
        ),
        Arm(
            "paired-contrast",
            "paired contrast",
            "contrast",
            "the pairs, each yes held above its no",
        ),
        Arm("product", "product of experts", "product", "the control's rows, beside their words"),
        Arm("none", "not de-biased"),
        Arm("alignment-only", "alignment only", stage2=False),
    )
}
DEBIASED, CONTROL, WEIGHTED, WITHIN, QK, CONTRAST, PRODUCT, PLAIN, ALIGNED = ARMS.values()
# what Table 5 and the studies compare, the second subtracted from the first
_COMPARED = (
    (DEBIASED, PLAIN),
    (DEBIASED, CONTROL),
    (WEIGHTED, CONTROL),
    (WITHIN, DEBIASED),
    (DEBIASED, QK),
    (CONTRAST, DEBIASED),
    (PRODUCT, CONTROL),
    (CONTROL, PLAIN),
    (PLAIN, ALIGNED),
)


def arms_of(keys: Iterable[str], stage: str = "") -> dict[str, Arm]:
    """Arms by key, in the order of the table; of a stage: those that are trained in it."""
    keys = set(keys)
    return {
        key: arm for key, arm in ARMS.items() if key in keys and (not stage or stage in arm.stages)
    }


def comparisons(keys: Iterable[str]) -> list[tuple[Arm, Arm]]:
    """The comparisons that can be made between some arms, the second subtracted from the first."""
    known = set(arms_of(keys).values())
    return [pair for pair in _COMPARED if known.issuperset(pair)]


def difference(a: Arm, b: Arm) -> str:
    """The beginning of a row that compares two arms."""
    return f"{a.title} - {b.title}"

"""Table of the arms of the experiment, the source of every list, caption and legend.

An arm is an ECG-LLM that differs from the others in its stage 1 rows or in the modules that LoRA
adapts. All arms share the encoder, the language model and the aligned projector, and all that have
a stage 2 share it too. The field `arms` of a profile says which arms it trains.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Arm:
    """One way to train the ECG-LLM.

    Parameters
    ----------
    key : str
        Name in params.yaml and in folders.
    title : str
        Name in table rows, legends and captions.
    stage1 : str
        Its stage 1 rows, as a key of `stage1_rows`. Empty means no stage 1.
    shown : str
        The stage 1 rows in words.
    stage2 : bool
        Whether it is trained in stage 2. An arm without any stage answers with the aligned
        projector.
    adapted : tuple of str
        Modules of the LLM that LoRA adapts. Empty means the profile's `lora.target_modules`.
    """

    key: str
    title: str
    stage1: str = ""
    shown: str = "no stage 1"
    stage2: bool = True
    adapted: tuple[str, ...] = ()

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages in which it is trained."""
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
# The pairs that Table 5 and the studies compare; the second is subtracted from the first.
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
    """Return arms by key in the order of the table; with `stage`, only those trained in it."""
    keys = set(keys)
    return {
        key: arm for key, arm in ARMS.items() if key in keys and (not stage or stage in arm.stages)
    }


def comparisons(keys: Iterable[str]) -> list[tuple[Arm, Arm]]:
    """List the possible comparisons of some arms; the second is subtracted from the first."""
    known = set(arms_of(keys).values())
    return [pair for pair in _COMPARED if known.issuperset(pair)]


def difference(a: Arm, b: Arm) -> str:
    """Return the start of the name of a row that compares two arms."""
    return f"{a.title} - {b.title}"

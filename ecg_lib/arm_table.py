"""The arms of the experiment: the one table from which every list, caption and legend is made.

An arm is an ECG-LLM that is told apart from the others by what stage 1 shows it. Encoder, language
model and stage 2 are the same for all.
"""

from __future__ import annotations

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
    """

    key: str
    title: str
    stage1: str = ""
    shown: str = "no stage 1"


ARMS = {
    arm.key: arm
    for arm in (
        Arm("de-biased", "de-biased", "pairs", "yes/no pairs of one question"),
        Arm("control", "control", "unpaired", "as many rows, unpaired"),
        Arm("weighted", "weighted", "weighted", "the control's rows, weighted by severity"),
        Arm("none", "not de-biased"),
    )
}
DEBIASED, CONTROL, WEIGHTED, PLAIN = ARMS.values()
# what Table 5 and the studies compare, the second subtracted from the first
COMPARED = ((DEBIASED, PLAIN), (DEBIASED, CONTROL), (WEIGHTED, CONTROL), (CONTROL, PLAIN))


def difference(a: Arm, b: Arm) -> str:
    """The beginning of a row that compares two arms."""
    return f"{a.title} - {b.title}"

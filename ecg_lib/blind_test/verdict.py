"""The verdict of the blind test, in words, by rules that anybody can check against the table.

The rules are tried in this order; the first that applies decides. They read the column
"do(question)" if it rests on at least 100 questions, and else "all questions": where most answers
are no, another ECG rarely changes a right answer. A drop "shows" if its interval lies above 0.

1. Fewer than half of the replies with the own ECG could be read: it cannot be judged.
2. The random drop does not show, and its interval reaches above 5 points: too few questions.
3. The random drop does not show: the answers do not depend on the ECG.
4. No severity is known: the answers depend on the ECG; whether on more than illness is not tested.
5. The matched drop does not show, and its interval reaches above 5 points: too few questions to
   say whether more than illness is read.
6. The matched drop does not show: the answers depend on whether the patient is ill, and on nothing
   more.
7. Otherwise the answers depend on the findings in the ECG.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ecg_lib.baselines.anchors import BOTH
from ecg_lib.blind_test.replies import READ, SENTENCE
from ecg_lib.blind_test.weighing import ALL, DO
from ecg_lib.evaluation.severity_drops import MATCHED, OWN, RANDOM, drop_row

UNJUDGED, TOO_FEW, BLIND, LOOKS, UNDECIDED, ILLNESS, FINDINGS = RULES = (
    "cannot be judged",
    "too few questions",
    "blind",
    "looks, illness not tested",
    "looks, too few questions for more",
    "reads illness only",
    "reads findings",
)
_READABLE, _WIDE, _ENOUGH = 50.0, 5.0, 100


@dataclass(frozen=True)
class Verdict:
    """A rule that applied, and the sentence that says so with the numbers."""

    rule: str
    text: str
    column: str = ALL  # of the table, on which the verdict rests

    def __str__(self) -> str:
        return self.text


def verdict(table: pd.DataFrame, answered: pd.DataFrame, model: str) -> Verdict:
    """Judge a model by its blind test.

    Parameters
    ----------
    table : DataFrame
        From `blind_table`.
    answered : DataFrame
        From `read_replies`.
    model : str
        The model's name in the table.
    """
    own = answered[answered["condition"] == OWN]
    return judged(table, model, 100 * own["state"].isin((READ, SENTENCE)).mean())


def judged(table: pd.DataFrame, model: str, read: float = 100.0) -> Verdict:
    """Judge a model by its table; `read`: % of replies with the own ECG that could be read."""
    column = column_of(table)
    rule, text = _applies(table[table["column"] == column].set_index("row"), read, model)
    return Verdict(rule, text, column)


def column_of(table: pd.DataFrame) -> str:
    """Return the column of the table on which the verdict rests."""
    balanced = table[table["column"] == DO]
    return DO if len(balanced) and balanced["n"].iloc[0] >= _ENOUGH else ALL


def _applies(cells: pd.DataFrame, read: float, model: str) -> tuple[str, str]:
    """Return the first rule that applies, and its sentence."""
    if read < _READABLE:
        return UNJUDGED, f"{model} cannot be judged: {read:.0f} % of its replies are read."
    random = cells.loc[drop_row(model, RANDOM)]
    lost = f"another patient's ECG costs it {_points(random)}"
    if not random["ci_low"] > 0:
        if random["ci_high"] > _WIDE:
            return TOO_FEW, f"{model}: too few questions to tell; {lost}."
        return BLIND, f"{model} does not look at the ECG: {lost}."
    looks = f"{model} looks at the ECG: {lost}."
    matched = drop_row(model, MATCHED)
    if matched not in cells.index:
        untested = "Whether it reads more than illness was not tested"
        return LOOKS, f"{looks} {untested}: that needs ECGs of known severity."
    beyond = cells.loc[matched]
    ill = f"an equally ill patient's costs it {_points(beyond)}"
    if beyond["ci_low"] > 0:
        reads = f"{model} reads findings in the ECG: {lost}, and {ill}."
        return FINDINGS, reads + _beside(cells, model)
    if beyond["ci_high"] > _WIDE:
        few = "Too few questions to tell whether it reads more than illness"
        return UNDECIDED, f"{looks} {few}; {ill}."
    return ILLNESS, f"{model} sees whether the patient is ill and nothing more: {lost}, but {ill}."


def _beside(cells: pd.DataFrame, model: str) -> str:
    """Add a sentence if a reader of question and illness does better than the model."""
    reader, own = f"{BOTH}, {OWN}", cells.loc[f"{model}, {OWN}"]
    if reader not in cells.index or own["ci_high"] >= cells.loc[reader, "value"]:
        return ""
    return (
        f" A reader that knows only the question and whether the ECG is normal is still better: "
        f"{cells.loc[reader, 'value']:.1f} % against {own['value']:.1f} %."
    )


def _points(cell: pd.Series) -> str:
    return f"{cell['value']:.1f} points ({cell['ci_low']:.1f} to {cell['ci_high']:.1f})"

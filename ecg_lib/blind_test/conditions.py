"""What the blind test asks a model: each question with its own ECG, and with something else.

own ECG          the question about its own ECG
zeroed           every sample 0 mV
noise            white noise with the amplitude of each lead of the own ECG
flat line        a line at 0 mV with 5 uV of noise, as a recorder without electrodes writes it
random           the ECG of another patient
matched          the ECG of another patient who is as ill
other wording    the own ECG and another wording of the question
panel            a few yes/no questions, each about the same ECGs; no answer need be known
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ecg_lib.blind_test.question_set import QuestionSet, closed, severity_texts
from ecg_lib.evaluation.no_patient import FLAT, NOISE
from ecg_lib.evaluation.random_ecg import donors
from ecg_lib.evaluation.severity_drops import MATCHED, OWN, RANDOM

ZEROED, REWORDED, PANEL = "zeroed", "other wording", "panel"
STAND_INS = (RANDOM, MATCHED, ZEROED, NOISE, FLAT)
CONDITIONS = (OWN, *STAND_INS, REWORDED, PANEL)
ECG = "ecg"  # the signal of a request: an ECG as it is, or one of ZEROED, NOISE, FLAT
PANEL_QUESTIONS, PANEL_ECGS = 9, (10, 60)  # ECGs: an eighth of the rows, within these limits
_FLAT_MV = 0.005


def requests(
    questions: QuestionSet, rows: pd.DataFrame, seed: int, conditions: Sequence[str] = CONDITIONS
) -> pd.DataFrame:
    """List everything that a model is asked.

    Parameters
    ----------
    questions : QuestionSet
    rows : DataFrame
        The rows of the set that are asked.
    seed : int
        Random seed of donors, wordings and panel.
    conditions : sequence of str
        Some of `CONDITIONS`.

    Returns
    -------
    DataFrame
        `condition`, `row_id` (in the panel: the key of the question), `question`, `ecg_id` (a
        list) and `signal`. A condition that the set does not allow has no line: no donor without
        a known severity, no other wording where each question has one.
    """
    base = rows[["row_id", "question", "ecg_id"]].assign(signal=ECG)
    parts = []
    if OWN in conditions:
        parts.append(base.assign(condition=OWN))
    if RANDOM in conditions:
        swapped = donors(rows, _donor_table(questions), seed)
        parts.append(base.assign(condition=RANDOM, ecg_id=swapped["ecg_id"]))
    if MATCHED in conditions and (swapped := matched_donors(questions, rows, seed)) is not None:
        own = base.loc[swapped.index]
        parts.append(own.assign(condition=MATCHED, ecg_id=swapped["ecg_id"]))
    parts += [
        base.assign(condition=name, signal=name)
        for name in (ZEROED, NOISE, FLAT)
        if name in conditions
    ]
    if REWORDED in conditions:
        parts.append(_reworded(questions.rows, rows, seed))
    if PANEL in conditions:
        parts.append(_panel(questions, seed, len(rows)))
    order = ["condition", "row_id", "question", "ecg_id", "signal"]
    return pd.concat(parts, ignore_index=True)[order]


def matched_donors(questions: QuestionSet, rows: pd.DataFrame, seed: int) -> pd.DataFrame | None:
    """Replace each ECG by one of a patient who is as ill; None if no severity is known.

    Grades of severity are matched if every ill ECG has one, and otherwise normal with normal and
    ill with ill. Rows about an ECG of unknown severity are left out.
    """
    known = questions.ecgs[questions.ecgs["normal"].notna()]
    own = rows[severity_texts(rows, questions.ecgs) != ""]
    if own.empty:
        return None
    ill = ~known["normal"].astype(bool)
    graded = bool(known.loc[ill, "severity"].notna().all()) and bool(ill.any())
    table = _donor_table(questions).loc[known.index]
    return donors(own, table.assign(normal=~ill), seed, "severity" if graded else "normal")


def shown(
    signals_mv: np.ndarray, signal: str, ecg_ids: Sequence[str], seed: int
) -> list[np.ndarray]:
    """Return what a request shows to the model in place of its ECGs.

    Parameters
    ----------
    signals_mv : (n, 12, T) float32, mV
        The ECGs.
    signal : str
        `ECG`, `ZEROED`, `NOISE` or `FLAT`.
    ecg_ids : sequence of str
        Names of the ECGs; with `seed` they decide the noise.

    Returns
    -------
    list of (12, T) float32, mV
    """
    if signal == ECG:
        return list(signals_mv)
    if signal == ZEROED:
        return [np.zeros_like(own) for own in signals_mv]
    given = []
    for own, name in zip(signals_mv, ecg_ids, strict=True):
        digest = hashlib.sha256(f"{seed} {signal} {name}".encode()).digest()
        white = np.random.default_rng(list(digest)).standard_normal(own.shape)
        loud = own.std(axis=-1, keepdims=True) if signal == NOISE else _FLAT_MV
        given.append((white * loud).astype(np.float32))
    return given


def _donor_table(questions: QuestionSet) -> pd.DataFrame:
    return questions.ecgs[["ecg_id", "patient_id", "split", "normal", "severity"]]


def _reworded(every: pd.DataFrame, rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return rows with another wording of the same question, where the set has one."""
    wordings = every.groupby("key")["question"].unique().map(sorted).to_dict()
    rng = np.random.default_rng(seed)
    kept, texts = [], []
    for row in rows.itertuples():
        others = [text for text in wordings[row.key] if text != row.question]
        if others:
            kept.append(row.Index)
            texts.append(others[int(rng.integers(len(others)))])
    own = rows.loc[kept, ["row_id", "ecg_id"]]
    return own.assign(condition=REWORDED, question=texts, signal=ECG)


def _panel(questions: QuestionSet, seed: int, n_rows: int) -> pd.DataFrame:
    """Return the most frequent yes/no questions about one ECG, each about the same ECGs."""
    rows = questions.rows
    own = rows[closed(rows) & (rows["ecg_id"].map(len) == 1)]
    words = own.groupby("key")["question"].agg(lambda text: text.mode().iloc[0])
    keys = own["key"].value_counts(sort=True).index[:PANEL_QUESTIONS]
    asked = own["ecg_id"].str[0].drop_duplicates()
    n = int(np.clip(n_rows // 8, *PANEL_ECGS))
    ecgs = asked.sample(min(n, len(asked)), random_state=seed)
    lines = [(key, words[key], [ecg]) for ecg in ecgs for key in keys]
    table = pd.DataFrame(lines, columns=["row_id", "question", "ecg_id"])
    return table.assign(condition=PANEL, signal=ECG)

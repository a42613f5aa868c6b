"""Measure how well ECG-Reasoning-Benchmark can be answered without an ECG.

The benchmark consists of multiple-choice dialogues about PTB-XL's ECGs (arXiv 2603.14326,
Jwoo5/ecg-reasoning-benchmark). Its authors do not report this question-only baseline. Of its seven
kinds of question, the three used here offer the same options whatever the ECG: is a diagnosis
suggested, is a finding present, does the finding suffice for a decision?
"""

import json
from pathlib import Path

import pandas as pd
from sklearn.model_selection import GroupKFold

from ecg_lib.data.source_files import read_text
from ecg_lib.errors import DataError
from ecg_lib.intervals import bootstrap_means

NAME, SIGNATURE = "ECG-Reasoning-Benchmark", "ptbxl.jsonl"
KINDS = {
    "initial_diagnostic_question": "diagnosis",
    "finding_identification": "finding",
    "diagnostic_decision": "decision",
}
_FOLDS, _RESAMPLES = 10, 1000


def read_benchmark(file: Path | str) -> pd.DataFrame:
    """Read the questions that have the same options for every ECG.

    Parameters
    ----------
    file : path
        JSON lines, one dialogue per line.

    Returns
    -------
    DataFrame
        `ecg_id, kind, question, answer`.

    Raises
    ------
    DataError
        A line is not a dialogue of the benchmark.
    """
    lines = []
    text = read_text(file, f"the JSON lines of {NAME}")
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            dialogue = json.loads(line)
            ecg, data = str(dialogue["metadata"]["ecg_id"]), dialogue["data"]
            if not (ecg.isascii() and ecg.isdigit()):
                raise ValueError(f"ecg_id {ecg!r} is no ECG number")
            asked = [data["initial_diagnostic_question"]]
            for step in data["reasoning"]:
                asked += [step[kind] for kind in KINDS if kind in step]
            for q in asked:
                kind, question, answer = KINDS[q["question_type"]], q["question"], q["answer"]
                if not all(isinstance(t, str) and t.strip() for t in (question, answer)):
                    raise ValueError("question and answer must be texts")
                lines.append((f"ptbxl/{int(ecg):05d}", kind, question, answer))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            told = repr(error)[:200]
            raise DataError(
                f"{file}, line {number}: not a dialogue of {NAME} ({told}); fetch the file again"
            ) from None
    if not lines:
        raise DataError(f"{file}: no dialogue in it; fetch the file again")
    return pd.DataFrame(lines, columns=["ecg_id", "kind", "question", "answer"])


def question_floor(rows: pd.DataFrame, patients: pd.Series, seed: int = 0) -> pd.DataFrame:
    """Measure the accuracy of two readers that see no ECG, by ten-fold cross-validation.

    The folds are grouped by patient, so each patient is held out from the rows that are learned.

    Parameters
    ----------
    rows : DataFrame
        From `read_benchmark`.
    patients : Series
        Patient by ecg_id; rows about other ECGs are left out.
    seed : int
        Random seed of the bootstrap over patients.

    Returns
    -------
    DataFrame
        `kind, reader, n, value, ci_low, ci_high`. The reader "majority" gives the most common
        answer to that kind of question. "question" gives the most common answer to exactly these
        words, or the majority answer if no patient of the other folds was asked them.

    Raises
    ------
    DataError
        Fewer than ten patients have known ECGs.
    """
    rows = rows.assign(patient=rows["ecg_id"].map(patients)).dropna(subset="patient")
    rows = rows.reset_index(drop=True)
    if rows["patient"].nunique() < _FOLDS:
        raise DataError(
            f"{NAME}: fewer than {_FOLDS} patients have known ECGs; give PTB-XL's patients"
        )
    said = pd.DataFrame(index=rows.index, columns=["majority", "question"], dtype=object)
    for known, asked in GroupKFold(_FOLDS).split(rows, groups=rows["patient"]):
        taught, tested = rows.iloc[known], rows.iloc[asked]
        majority = tested["kind"].map(taught.groupby("kind")["answer"].agg(_commonest))
        words = tested["question"].map(taught.groupby("question")["answer"].agg(_commonest))
        said.loc[tested.index, "majority"] = majority
        said.loc[tested.index, "question"] = words.fillna(majority)
    lines = []
    for kind, part in rows.groupby("kind", sort=False):
        for reader in said:
            right = (said.loc[part.index, reader] == part["answer"]).to_numpy(float)
            means = bootstrap_means(right, _RESAMPLES, seed, part["patient"].to_numpy())
            low, high = pd.Series(means).quantile([0.025, 0.975])
            lines.append((kind, reader, len(part), right.mean(), low, high))
    return pd.DataFrame(lines, columns=["kind", "reader", "n", "value", "ci_low", "ci_high"])


def _commonest(answers: pd.Series) -> str:
    return answers.mode().iloc[0]

"""How far the questions of ECG-Reasoning-Benchmark go without an ECG; its authors print no floor.

Multiple-choice dialogues about PTB-XL's ECGs (arXiv 2603.14326, Jwoo5/ecg-reasoning-benchmark): is
a diagnosis suggested, is a finding there, does the finding suffice for a decision. Of its seven
kinds of question these three offer the same options whatever the ECG.
"""

import json
from pathlib import Path

import pandas as pd
from sklearn.model_selection import GroupKFold

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
    """Its questions with one set of options: ``ecg_id, kind, question, answer``.

    Parameters
    ----------
    file : JSON lines, a dialogue each

    Raises
    ------
    DataError
        A line is no dialogue of the benchmark.
    """
    lines = []
    for number, text in enumerate(Path(file).read_text(encoding="utf-8").splitlines(), start=1):
        try:
            dialogue = json.loads(text)
            ecg, data = int(dialogue["metadata"]["ecg_id"]), dialogue["data"]
            asked = [data["initial_diagnostic_question"]]
            for step in data["reasoning"]:
                asked += [step[kind] for kind in KINDS if kind in step]
            lines += [
                (f"ptbxl/{ecg:05d}", KINDS[q["question_type"]], q["question"], q["answer"])
                for q in asked
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{file}, line {number}: no dialogue of {NAME} ({error!r}); fetch the file again"
            ) from None
    return pd.DataFrame(lines, columns=["ecg_id", "kind", "question", "answer"])


def question_floor(rows: pd.DataFrame, patients: pd.Series, seed: int = 0) -> pd.DataFrame:
    """Accuracy of two readers who see no ECG, taught on other patients than they are tested on.

    Parameters
    ----------
    rows : DataFrame
        Of :func:`read_benchmark`.
    patients : Series
        Patient by ecg_id; rows about other ECGs are left out.
    seed : int
        Of the bootstrap over patients.

    Returns
    -------
    DataFrame
        ``kind, reader, n, value, ci_low, ci_high``: "majority", the commonest answer to that kind
        of question, and "question", the commonest answer to these very words (a question that
        nobody else was asked: as majority).

    Raises
    ------
    DataError
        The ECGs of fewer than ten patients are known.
    """
    rows = rows.assign(patient=rows["ecg_id"].map(patients)).dropna(subset="patient")
    rows = rows.reset_index(drop=True)
    if rows["patient"].nunique() < _FOLDS:
        raise DataError(f"{NAME}: {_FOLDS} patients are needed whose ECGs are known; give PTB-XL")
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

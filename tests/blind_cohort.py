"""A small question set whose every answer is known, for tests of the blind test."""

import numpy as np
import pandas as pd

from ecg_lib.blind_test import QuestionSet

FINDINGS = ("AF", "LVH", "LBBB", "old infarction")
WORDINGS = ("Is there {}?", "Does this ECG show {}?")
RATE, SAMPLES = 100, 200


def question_set(patients=120, seed=0, severity=True, quota=None):
    """Return yes/no questions about four findings; the first sample of each ECG tells its number.

    Half of the patients are normal. An ill one has each finding with probability 0.5, but at least
    one. With `quota` (yes, no) each question keeps at most so many of each answer.
    """
    rng = np.random.default_rng(seed)
    normal = np.arange(patients) % 2 == 0
    has = (rng.random((patients, len(FINDINGS))) < 0.5) & ~normal[:, None]
    has[~normal & ~has.any(axis=1), 0] = True
    ids = [f"p{k:03d}" for k in range(patients)]
    ecgs = pd.DataFrame(
        {
            "ecg_id": ids,
            "patient_id": ids,
            "split": "test",
            "normal": list(normal) if severity else [None] * patients,
            "severity": np.where(normal, np.nan, 0.5),
        }
    )
    lines = []
    for k, finding in enumerate(FINDINGS):
        left = {"yes": quota[0], "no": quota[1]} if quota else {"yes": patients, "no": patients}
        for p in rng.permutation(patients):
            answer = "yes" if has[p, k] else "no"
            if left[answer]:
                left[answer] -= 1
                wording = WORDINGS[int(rng.integers(2))].format(finding)
                lines.append(([ids[p]], wording, [answer], finding))
    rows = pd.DataFrame(lines, columns=["ecg_id", "question", "answer", "key"])
    rows = rows.assign(row_id=[str(k) for k in range(len(rows))], kind="verify")
    truth = pd.DataFrame(has, ids, FINDINGS)

    def true(asked):
        said = ["yes" if truth.loc[row.ecg_id[0], row.key] else "no" for row in asked.itertuples()]
        return pd.Series(said, index=asked.index, dtype=object)

    return QuestionSet("toy", rows, ecgs, lambda some: signals(ids, some), RATE, true)


def signals(ids, some):
    """Return a signal per ECG whose samples tell which one it is."""
    found = np.zeros((len(some), 12, SAMPLES), np.float32)
    for at, ecg in enumerate(some):
        found[at] = np.random.default_rng(ids.index(ecg)).standard_normal((12, SAMPLES))
    return found

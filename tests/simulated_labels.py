"""Labels of simulated patients, without signals: a cohort whose severity is known."""

from functools import cache

import numpy as np
import pandas as pd

from ecg_lib.data.simulated.cohort import SPLITS, draw_patient


@cache
def simulated_records(patients: int = 1200, seed: int = 0) -> pd.DataFrame:
    """Return one ECG per patient with the latent `severity`; 6 of 10 patients are for training."""
    rows = []
    for number in range(patients):
        draft = draw_patient(np.random.default_rng([seed, number]), 1)[0]
        rows.append(
            {
                "ecg_id": f"simulated/{number:06d}",
                "patient_id": f"p{number}",
                "recorded_at": draft.visit.recorded_at,
                "split": SPLITS[0 if number % 10 < 6 else 1 if number % 10 < 7 else 2],
                "normal": "NORM" in draft.labels,
                "severity": draft.visit.severity,
                "labels": draft.labels,
                "attributes": draft.attributes,
            }
        )
    return pd.DataFrame(rows)

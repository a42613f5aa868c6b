"""Sort ECGs into strata of severity: normal or not, or normal and several grades of illness.

*Severity* is how ill the patient is. It confounds question and answer if it decides who is asked
what, so rows are matched or adjusted within its strata.
"""

import numpy as np
import pandas as pd

from ecg_lib.errors import DataError

MATCHES = ("normal", "severity")
GRADES = 3  # grades of the ill, with equally many ECGs each


def strata(records: pd.DataFrame, match: str, grades: int = GRADES) -> pd.Series:
    """Return the stratum of every ECG; ECGs of one stratum count as equally ill.

    Parameters
    ----------
    records : DataFrame
        `ecg_id, normal`, one row per ECG, and `severity` (0..1) where that is matched on.
    match : {"normal", "severity"}
        "normal": 0 for normal, 1 for not normal. "severity": 0 for normal, then 1 to `grades` by
        graded severity, with quantiles of the ECGs that are not normal as limits.

    Returns
    -------
    Series of int
        Indexed by ecg_id.

    Raises
    ------
    DataError
        `match` is unknown, or an ECG that is not normal has no graded severity.
    """
    if match not in MATCHES:
        raise DataError(f"match is {match!r}; use one of {', '.join(MATCHES)}")
    ill = ~records["normal"].to_numpy(dtype=bool)
    found = ill.astype(int)
    if match == "severity":
        grade = records.get("severity", pd.Series(np.nan, index=records.index)).to_numpy(float)
        if np.isnan(grade[ill]).any():
            raise DataError('match is "severity", but an ECG has no graded severity; use "normal"')
        limits = np.quantile(grade[ill], np.arange(1, grades) / grades) if ill.any() else []
        found[ill] += np.searchsorted(limits, grade[ill], side="right")
    return pd.Series(found, index=pd.Index(records["ecg_id"], name="ecg_id"), name="stratum")

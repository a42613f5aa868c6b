"""How ill an ECG is, in strata: normal or not, or the normal and several grades of the ill."""

import numpy as np
import pandas as pd

from ecg_lib.errors import DataError

MATCHES = ("normal", "severity")
GRADES = 3  # of the ill, each with as many ECGs


def strata(records: pd.DataFrame, match: str, grades: int = GRADES) -> pd.Series:
    """The stratum of every ECG, an integer by ecg_id; ECGs of one stratum are equally ill.

    Parameters
    ----------
    records : DataFrame
        ``ecg_id, normal``, one row per ECG, and ``severity`` (0..1) where that is matched on.
    match : {"normal", "severity"}
        "normal": 0 normal, 1 not. "severity": 0 normal, then 1 to ``grades`` by graded severity,
        whose limits are quantiles of the ECGs that are not normal.

    Raises
    ------
    DataError
        ``match`` is unknown, or there is no graded severity.
    """
    if match not in MATCHES:
        raise DataError(f"match is {match!r}; use one of {', '.join(MATCHES)}")
    ill = ~records["normal"].to_numpy(dtype=bool)
    found = ill.astype(int)
    if match == "severity":
        grade = records.get("severity", pd.Series(np.nan, index=records.index)).to_numpy(float)
        if np.isnan(grade[ill]).any():
            raise DataError('match "severity": an ECG has no graded severity; use "normal"')
        limits = np.quantile(grade[ill], np.arange(1, grades) / grades) if ill.any() else []
        found[ill] += np.searchsorted(limits, grade[ill], side="right")
    return pd.Series(found, index=pd.Index(records["ecg_id"], name="ecg_id"), name="stratum")

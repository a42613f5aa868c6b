"""An independent check of the simulator: intervals measured by the package `openecg`.

Its models (Apache-2.0, in the wheel) were trained only on recorded, expert-labelled ECGs. If it
measures longer intervals in simulated ECGs than in recorded ones with the same finding, the
simulator draws them too long. It reads lead II only, and its training data include LUDB. The
package is optional: `pip install debiased-ecg[judge]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec

import numpy as np
import pandas as pd

from ecg_lib.data.record import EcgRecord
from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.store import EcgStore
from ecg_lib.knowledge.findings import is_certain
from ecg_lib.signal.leads import LEADS
from ecg_lib.signal.resample import to_rate

FINDINGS = ("NORM", "1AVB", "CLBBB", "CRBBB")  # normal, and findings that an interval defines
INTERVALS = ("PR", "QRS", "QT")  # ms
_TRUE = dict(zip(INTERVALS, ("pr interval", "qrs duration", "qt interval"), strict=True))
_RATE = 500  # Hz; the package's models expect this rate
Judge = Callable[[np.ndarray], Mapping[str, float]]


def installed() -> bool:
    """Return whether the package is installed."""
    return find_spec("openecg") is not None


def judge_lead(lead: np.ndarray) -> dict[str, float]:
    """Measure PR, QRS and QT with openecg.

    Parameters
    ----------
    lead : (T,) float, mV
        Lead II at 500 Hz.

    Returns
    -------
    dict of str to float
        `INTERVALS` in ms; NaN where openecg finds no such interval.
    """
    import openecg  # optional: onnxruntime and 39 MB of models

    found = openecg.report(lead.astype("float32"), _RATE).intervals_ms
    names = {"PR": "pr", "QRS": "qrs_duration", "QT": "qt"}
    return {name: float(found.get(theirs) or np.nan) for name, theirs in names.items()}


def chosen(
    labels: Iterable[tuple[int, Mapping[str, float]]], most: int, seed: int
) -> dict[str, list[int]]:
    """Draw at random up to `most` ECGs that certainly have each finding.

    Parameters
    ----------
    labels : iterable of (int, mapping of str to float)
        Number of an ECG, and its codes with their likelihoods.

    Returns
    -------
    dict of str to list of int
        Numbers of the ECGs drawn, by the code of the finding.
    """
    having: dict[str, list[int]] = {code: [] for code in FINDINGS}
    for item, own in labels:
        for code in FINDINGS:
            if code in own and is_certain(own[code]):
                having[code].append(item)
    rng = np.random.default_rng(seed)
    return {code: sorted(rng.permutation(items)[:most].tolist()) for code, items in having.items()}


def recorded(store: EcgStore, most: int, seed: int) -> dict[str, list[EcgRecord]]:
    """Draw up to `most` ECGs of each finding from a prepared cohort."""
    found = chosen(enumerate(store.records["labels"]), most, seed)
    return {code: [store.record(row) for row in rows] for code, rows in found.items()}


def simulated(patients: int, most: int, seed: int) -> dict[str, list[EcgRecord]]:
    """Draw up to `most` simulated ECGs of each finding, among `patients` simulated patients."""
    cohort = SimulatedCohort(patients, seed=seed, name="judged")
    found = chosen(cohort.labels_only(), most, seed)
    return {code: [cohort.read(item) for item in items] for code, items in found.items()}


def judged_cells(
    source: str,
    ecgs: Mapping[str, list[EcgRecord]],
    judge: Judge = judge_lead,
    resamples: int = 1000,
    seed: int = 0,
) -> list[dict]:
    """Return median intervals by finding: as the judge measures them and as simulated.

    Parameters
    ----------
    source : str
        Name of the cohort, for the rows.
    ecgs : mapping of finding to list of EcgRecord
    judge : callable
        Takes lead II, (T,) in mV at 500 Hz, and returns `INTERVALS` in ms.

    Returns
    -------
    list of dict
        row ("<source>, <finding>, judged" and, for simulated ECGs, "..., drawn"), column (one of
        `INTERVALS`), value in ms, n (ECGs with a value) and a bootstrap interval of the median.
    """
    cells = []
    for code, records in ecgs.items():
        leads = [to_rate(r.signal[LEADS.index("II")], r.rate, _RATE, "polyphase") for r in records]
        read = {"judged": pd.DataFrame([judge(lead) for lead in leads], columns=list(INTERVALS))}
        if any("severity" in record.attributes for record in records):  # only simulated ECGs
            drawn = [record.attributes.get("intervals", {}) for record in records]
            read["drawn"] = pd.DataFrame(drawn, columns=list(_TRUE.values())) * 1000
            read["drawn"].columns = list(INTERVALS)
        for how, table in read.items():
            for name in INTERVALS:
                cell = {"row": f"{source}, {code}, {how}", "column": name}
                cells.append(cell | _median(table[name].dropna().to_numpy(float), resamples, seed))
    return cells


def _median(values: np.ndarray, resamples: int, seed: int) -> dict[str, float]:
    if not len(values):
        return {"value": np.nan, "n": 0}
    drawn = np.random.default_rng(seed).choice(values, (resamples, len(values)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return {"value": np.median(values), "n": len(values), "ci_low": low, "ci_high": high}

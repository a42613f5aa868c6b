"""An outside ruler: package `openecg` measures simulated ECGs as it measures recorded ones.

Its models (Apache-2.0, in the wheel) learned from recorded, expert-labelled ECGs alone, so where it
reads longer intervals in simulated ECGs than in recorded ones of the same finding, the simulator
draws them too long. It knows lead II only, and LUDB is among the data it was trained on. The
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

FINDINGS = ("NORM", "1AVB", "CLBBB", "CRBBB")  # in which an interval is what matters
INTERVALS = ("PR", "QRS", "QT")  # ms
_TRUE = dict(zip(INTERVALS, ("pr interval", "qrs duration", "qt interval"), strict=True))
_RATE = 500  # Hz, at which the package's models work
Judge = Callable[[np.ndarray], Mapping[str, float]]


def installed() -> bool:
    """Whether the package is there."""
    return find_spec("openecg") is not None


def judge_lead(lead: np.ndarray) -> dict[str, float]:
    """PR, QRS and QT in ms by openecg; NaN where it finds no such interval.

    Parameters
    ----------
    lead : (T,) lead II in mV at 500 Hz
    """
    import openecg  # optional: onnxruntime and 39 MB of models

    found = openecg.report(lead.astype("float32"), _RATE).intervals_ms
    names = {"PR": "pr", "QRS": "qrs_duration", "QT": "qt"}
    return {name: float(found.get(theirs) or np.nan) for name, theirs in names.items()}


def chosen(
    labels: Iterable[tuple[int, Mapping[str, float]]], most: int, seed: int
) -> dict[str, list[int]]:
    """Finding -> up to `most` ECGs that certainly have it, drawn at random."""
    having: dict[str, list[int]] = {code: [] for code in FINDINGS}
    for item, own in labels:
        for code in FINDINGS:
            if code in own and is_certain(own[code]):
                having[code].append(item)
    rng = np.random.default_rng(seed)
    return {code: sorted(rng.permutation(items)[:most].tolist()) for code, items in having.items()}


def recorded(store: EcgStore, most: int, seed: int) -> dict[str, list[EcgRecord]]:
    """Finding -> ECGs of a prepared cohort."""
    found = chosen(enumerate(store.records["labels"]), most, seed)
    return {code: [store.record(row) for row in rows] for code, rows in found.items()}


def simulated(patients: int, most: int, seed: int) -> dict[str, list[EcgRecord]]:
    """Finding -> simulated ECGs."""
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
    """Median intervals in ms by finding, as judged and, where the ECG knows it, as drawn.

    Returns
    -------
    list of cells: row "<source>, <finding>, judged" or "..., drawn", column (of `INTERVALS`),
    value, n (ECGs with a value), and a bootstrap interval of the median.
    """
    cells = []
    for code, records in ecgs.items():
        leads = [to_rate(r.signal[LEADS.index("II")], r.rate, _RATE, "polyphase") for r in records]
        read = {"judged": pd.DataFrame([judge(lead) for lead in leads], columns=list(INTERVALS))}
        if any("severity" in record.attributes for record in records):  # of simulated ECGs only
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

"""Pick one clear simulated ECG of each finding, for display."""

from __future__ import annotations

from collections.abc import Iterable

from ecg_lib.data.record import EcgRecord
from ecg_lib.data.simulated.cohort import SimulatedCohort

_RHYTHMS = {"SR", "SBRAD", "STACH", "SARRH"}  # stated for every ECG without another rhythm


def clearest_examples(
    codes: Iterable[str], patients: int = 1500, seed: int = 0, noise: float = 1.0
) -> dict[str, EcgRecord]:
    """Return, for each code, the simulated ECG that has it with the fewest other findings.

    Codes that no patient has are absent from the result. Among equally clear ECGs the first is
    chosen, so the same seed gives the same ECGs.

    Parameters
    ----------
    codes : iterable of str
        Codes of findings.csv.
    patients, seed, noise
        See `SimulatedCohort`.
    """
    cohort = SimulatedCohort(patients, seed=seed, noise=noise, name="example")
    best: dict[str, tuple[int, int]] = {}
    for item, labels in cohort.labels_only():
        others = len(set(labels) - _RHYTHMS)
        for code in set(codes) & set(labels):
            if code not in best or others < best[code][0]:
                best[code] = (others, item)
    return {code: cohort.read(best[code][1]) for code in codes if code in best}

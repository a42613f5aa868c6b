"""A simulated cohort of 12-lead ECGs: heart dipole, Dower's leads, noise, patients, reports.

`SimulatedCohort` is the source. Its medical knowledge is in `waves.yaml`, `population.yaml` and
`phrases.yaml`.
"""

from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.simulated.reports import full_report

__all__ = ["SimulatedCohort", "full_report"]

"""Register the simulated cohort, a source that needs no folder."""

from ecg_lib.data.simulated.cohort import SimulatedCohort

__all__ = ["SimulatedCohort"]

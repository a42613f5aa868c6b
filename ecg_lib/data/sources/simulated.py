"""The simulated cohort, a source without a folder."""

from ecg_lib.data.simulated.cohort import SimulatedCohort

__all__ = ["SimulatedCohort"]

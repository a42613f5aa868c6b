"""Provide a simulated cohort as a source of ECG records that do not depend on reading order.

Every patient has their own random seed, derived from the cohort's seed and the patient's number. A
patient is therefore the same in a cohort of ten and of ten thousand, alone and in a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ecg_lib.data.record import SPLITS, EcgRecord
from ecg_lib.data.simulated import noise as noise_room
from ecg_lib.data.simulated.criteria import meet_criteria
from ecg_lib.data.simulated.heart import Constitution, draw_constitution
from ecg_lib.data.simulated.leadfield import EIGHT, twelve_leads
from ecg_lib.data.simulated.patients import Visit, draw_visits
from ecg_lib.data.simulated.render import Drawn, breathing_gains, draw_atrial, render
from ecg_lib.data.simulated.reports import write_report
from ecg_lib.data.simulated.rhythm import draw_beats
from ecg_lib.data.simulated.simulator_tables import fingerprint, population
from ecg_lib.data.simulated.truth import attributes, intervals, labels
from ecg_lib.errors import DataError

_BATCH = 24  # patients rendered together; more would not fit into the CPU cache


@dataclass
class Draft:
    """A record whose signal is still to be rendered."""

    visit: Visit
    drawn: Drawn
    labels: dict[str, float]
    attributes: dict
    report: str
    noise: np.ndarray  # (9, 1000) mV
    high_pass: float  # Hz


class SimulatedCohort:
    """Simulated 12-lead ECGs, one to three per patient.

    Parameters
    ----------
    patients : int
        Number of patients.
    seed : int
        Two cohorts with the same seed share their first patients.
    splits : sequence of 3 float
        Fractions of patients in train, valid and test; the split is drawn per patient.
    noise : float
        1 for noise as in clinical recordings, 0 for none. Scales the amplitude of noise and the
        probability of marked noise.
    name : str
        Prefix of `ecg_id`.
    rate : int, Hz
        Must be 100, the only rate at which hearts are rendered.

    Raises
    ------
    DataError
        A parameter is impossible, or a table of the simulator is not valid.
    """

    NAME, SIGNATURE = "simulated", None  # it needs no folder

    def __init__(
        self,
        patients: int,
        seed: int = 0,
        splits: Sequence[float] = (0.7, 0.1, 0.2),
        noise: float = 1.0,
        name: str = "simulated",
        rate: int = noise_room.FS,
    ):
        if rate != noise_room.FS:
            raise DataError(
                f"simulated cohort: rate is {rate} Hz; only {noise_room.FS} Hz can be rendered"
            )
        if patients < 1 or noise < 0:
            raise DataError(
                f"simulated cohort: patients is {patients} and noise is {noise}; "
                "give at least 1 patient and noise of at least 0"
            )
        if len(splits) != 3 or min(splits) < 0 or abs(sum(splits) - 1) > 1e-6:
            raise DataError(
                f"simulated cohort: splits {tuple(splits)} must be 3 shares that sum to 1"
            )
        self.name, self.patients, self.seed, self.rate = name, int(patients), int(seed), rate
        self.splits, self.noise = tuple(float(s) for s in splits), float(noise)
        draws = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(0,)))
        u = draws.random((self.patients, 2))
        shares = np.cumsum(population()["ecgs_per_patient"])[:-1]
        self.counts = 1 + np.searchsorted(shares, u[:, 0], side="right")
        self.split_of = np.searchsorted(np.cumsum(self.splits)[:-1], u[:, 1], side="right")
        self.first = np.concatenate([[0], np.cumsum(self.counts)])
        settings = f"seed={self.seed},noise={self.noise:g},splits={self.splits}"
        self.version = f"1-{fingerprint()} ({settings})"

    def __len__(self) -> int:
        return int(self.first[-1])

    def index(self) -> range:
        """Return the numbers of the cohort's records."""
        return range(len(self))

    def item_name(self, item: int) -> str:
        """Return the `ecg_id` of a record."""
        return f"{self.name}/{item:06d}"

    def read(self, item: int) -> EcgRecord:
        """Simulate one record on its own; the result is the same as from `batches`."""
        if not 0 <= item < len(self):
            raise DataError(f"{self.name}: no record {item}; choose from 0 to {len(self) - 1}")
        patient = int(np.searchsorted(self.first, item, side="right")) - 1
        draft = self._patient(patient)[item - self.first[patient]]
        return self._record(item, patient, draft, finish([draft])[0])

    def batches(self) -> Iterator[list[EcgRecord]]:
        """Yield all records in order, many at a time, which is faster than `read`."""
        for start in range(0, self.patients, _BATCH):
            patients = range(start, min(start + _BATCH, self.patients))
            drafts = [(p, draft) for p in patients for draft in self._patient(p)]
            signals = finish([draft for _, draft in drafts])
            first = int(self.first[start])
            yield [
                self._record(first + i, p, draft, signals[i]) for i, (p, draft) in enumerate(drafts)
            ]

    def labels_only(self) -> Iterator[tuple[int, dict[str, float]]]:
        """Yield the number and labels of each record, without rendering signals."""
        for patient in range(self.patients):
            for k, draft in enumerate(self._patient(patient)):
                yield int(self.first[patient]) + k, draft.labels

    def _patient(self, number: int) -> list[Draft]:
        """Draw a patient's records without their signals."""
        sequence = np.random.SeedSequence(self.seed, spawn_key=(1, number))
        rng = np.random.Generator(np.random.SFC64(sequence))  # NumPy's fastest generator
        return draw_patient(rng, int(self.counts[number]), self.noise)

    def _record(self, item: int, patient: int, draft: Draft, signal: np.ndarray) -> EcgRecord:
        return EcgRecord(
            ecg_id=self.item_name(item),
            patient_id=f"sim-{patient:05d}",
            signal=signal,
            recorded_at=draft.visit.recorded_at,
            age=draft.visit.age,
            sex=draft.visit.sex,
            labels=draft.labels,
            report=draft.report,
            split=SPLITS[self.split_of[patient]],
            attributes=draft.attributes,
            rate=self.rate,
        )


def draw_patient(rng: np.random.Generator, number: int, noise: float = 1.0) -> list[Draft]:
    """Draw a patient with `number` ECGs, whose signals are still to be rendered."""
    visits = draw_visits(rng, number)
    diseased = any(set(v.findings) & set(population()["diseases"]) for v in visits)
    body = draw_constitution(rng, diseased, visits[0].sex)
    return [draw_ecg(rng, visit, body, noise) for visit in visits]


def draw_ecg(
    rng: np.random.Generator, visit: Visit, body: Constitution, noise: float = 1.0
) -> Draft:
    """Draw one ECG of a patient: beats, waves, ground truth, report and noise."""
    beats = draw_beats(rng, visit)
    high, low = noise_room.draw_filter(rng)
    beat, found = meet_criteria(visit, body, beats.rr, low)
    times = intervals(visit, beats, beat, found)
    codes = labels(rng, visit, found, times)
    truth = attributes(visit, beats, found, times, codes)
    course, course_leads = draw_atrial(rng, visit)
    gains = breathing_gains(rng, beats.times)
    drawn = Drawn(beats, beat, gains, course, course_leads)
    # noise has its own random stream, so the same hearts can be recorded with more or less of it
    sounds, truth["noise"] = noise_room.electrode_noise(rng.spawn(1)[0], noise)
    return Draft(visit, drawn, codes, truth, write_report(rng, codes, truth), sounds, high)


def finish(drafts: list[Draft]) -> np.ndarray:
    """Render the signals of some drafts, add noise, filter and round.

    The eight independent leads are rounded as a recorder does; the other four are computed from
    them.

    Returns
    -------
    (R, 12, 1000) float32, mV
    """
    eight = render([draft.drawn for draft in drafts])
    eight += np.matmul(EIGHT.astype(np.float32), np.stack([draft.noise for draft in drafts]))
    eight = noise_room.high_pass(eight, np.array([draft.high_pass for draft in drafts]))
    step = np.float32(population()["filter"]["step_mv"])
    return twelve_leads(np.rint(eight / step) * step)

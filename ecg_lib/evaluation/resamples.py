"""Bootstrap resamples of patients, drawn once and saved so that intervals can be reproduced.

Both methods of Table 4, and all labels of a data set, are evaluated on the same draws. The scores
of another method can therefore be compared with them later, draw by draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ecg_lib.disk import write_file
from ecg_lib.errors import DataError
from ecg_lib.intervals import bootstrap_ids, counts_of


@dataclass(frozen=True)
class Resamples:
    """Patients, and which of them each resample drew.

    Parameters
    ----------
    patients : (P,) str
        Sorted and unique.
    drawn : (resamples, P) uint32
        Positions in `patients`.
    """

    patients: NDArray[np.str_]
    drawn: NDArray[np.uint32]

    @classmethod
    def draw(cls, patients: Sequence[str] | NDArray, resamples: int, seed: int) -> Resamples:
        """Draw patients with replacement, as many as there are."""
        known = np.unique(np.asarray(patients, dtype=str))
        return cls(known, bootstrap_ids(len(known), resamples, seed).astype(np.uint32))

    def weights(self, patients: Sequence[str] | NDArray) -> NDArray[np.float64]:
        """Count how often each record is drawn.

        Parameters
        ----------
        patients : (N,) str
            The patient of each record.

        Returns
        -------
        (resamples, N) float64

        Raises
        ------
        DataError
            A record belongs to a patient who is not among `self.patients`.
        """
        asked = np.asarray(patients, dtype=str)
        if missing := set(asked) - set(self.patients):
            raise DataError(
                f"resamples: patient {min(missing)} is not among the "
                f"{len(self.patients)} that were resampled; draw again with all patients"
            )
        counts = counts_of(self.drawn, len(self.patients))
        return counts[:, np.searchsorted(self.patients, asked)]

    def save(self, path: Path) -> None:
        """Write both arrays as .npz, atomically."""

        def write(temporary: Path) -> None:
            np.savez_compressed(temporary, patients=self.patients, drawn=self.drawn)

        write_file(path, write)

    @classmethod
    def load(cls, path: Path) -> Resamples:
        """Read what `save` wrote.

        Raises
        ------
        DataError
            The file is missing or damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as kept:
                return cls(kept["patients"], kept["drawn"])
        except (
            OSError,
            EOFError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            BadZipFile,
        ) as error:
            told = " ".join(str(error).split())
            raise DataError(
                f"{path}: cannot be read ({told}); run the notebook that writes it"
            ) from error

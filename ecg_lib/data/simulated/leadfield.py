"""Convert the heart dipole to the potentials of nine electrodes, and these to twelve leads.

The dipole is given in Frank's frame (x left, y foot, z BACK). Dower's synthesis gives the leads
I, II and V1..V6. They are rewritten as potentials of the electrodes RA, LA, LL, V1..V6 against
Wilson's central terminal. Whatever happens at an electrode (position, gain, noise) thus reaches the
leads as in a real recorder, and Einthoven's and Goldberger's identities hold by construction.
"""

from __future__ import annotations

import math

import numpy as np

ELECTRODES = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")

# Dower GE, "A lead synthesizer for the Frank system to simulate the standard 12-lead
# electrocardiogram", J Electrocardiol 1 (1968) 101-116; Dower, Machado & Osborne, Clin Cardiol 3
# (1980) 87-95. Rows I, II, V1..V6; columns x, y, z.
DOWER = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)

# Eight independent leads I, II, V1..V6 from nine electrodes: I = LA - RA, II = LL - RA,
# Vi = electrode - (RA + LA + LL) / 3.
EIGHT = np.zeros((8, 9))
EIGHT[0, [1, 0]] = 1, -1
EIGHT[1, [2, 0]] = 1, -1
EIGHT[2:, :3] = -1 / 3
EIGHT[range(2, 8), range(3, 9)] = 1


def electrode_vectors() -> np.ndarray:
    """Return the lead vectors (9, 3) of the electrodes against Wilson's central terminal."""
    one, two = DOWER[0], DOWER[1]
    limbs = np.stack([-(one + two) / 3, (2 * one - two) / 3, (2 * two - one) / 3])
    return np.concatenate([limbs, DOWER[2:]])


def patient_vectors(rng: np.random.Generator, constitution: dict) -> np.ndarray:
    """Draw the electrode vectors (9, 3) of one patient.

    Chest electrodes slip towards a neighbour and up or down, and each vector gets a random error
    and gain (`constitution` of population.yaml).
    """
    vectors = electrode_vectors()
    chest = vectors[3:]
    slip = constitution["chest_mixing"] * rng.standard_normal(6)
    towards = np.clip(np.arange(6) + np.where(slip > 0, 1, -1), 0, 5)
    vectors[3:] = chest + np.abs(slip)[:, None] * (chest[towards] - chest)
    vectors[3:, 1] += 0.10 * rng.standard_normal()  # the whole row too high or too low
    length = np.sqrt((vectors**2).sum(1, keepdims=True))
    vectors += constitution["lead_vector"] * length * rng.standard_normal((9, 3))
    return vectors * np.exp(constitution["electrode_gain"] * rng.standard_normal((9, 1)))


def rotation(frontal_deg: float, tilt_deg: tuple[float, float]) -> np.ndarray:
    """Return the rotation (3, 3) of the heart: frontal (positive: to the right), x-z, then y-z."""
    (ca, sa), (cb, sb), (cc, sc) = (
        (math.cos(math.radians(x)), math.sin(math.radians(x))) for x in (frontal_deg, *tilt_deg)
    )
    # side @ level @ frontal, written out because three small matrix products take ten times as long
    return np.array(
        [
            [cb * ca, -cb * sa, -sb],
            [cc * sa - sc * sb * ca, cc * ca + sc * sb * sa, -sc * cb],
            [sc * sa + cc * sb * ca, sc * ca - cc * sb * sa, cc * cb],
        ]
    )


def twelve_leads(eight: np.ndarray) -> np.ndarray:
    """Compute twelve leads from the eight independent ones.

    Einthoven: III = II - I; Goldberger: aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2.

    Parameters
    ----------
    eight : (..., 8, T) float
        I, II, V1..V6.

    Returns
    -------
    (..., 12, T) float
        I, II, III, aVR, aVL, aVF, V1..V6.
    """
    one, two = eight[..., 0, :], eight[..., 1, :]
    half = eight.dtype.type(0.5)
    limbs = [one, two, two - one, -half * (one + two), one - half * two, two - half * one]
    return np.concatenate([np.stack(limbs, axis=-2), eight[..., 2:, :]], axis=-2)

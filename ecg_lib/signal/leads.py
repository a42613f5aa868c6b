"""Names and order of the twelve leads, and the relation between the limb leads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecg_lib.errors import BadRecord

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_CANONICAL = {lead.lower(): lead for lead in LEADS}


def canonical_name(name: str) -> str | None:
    """Return a lead's spelling in `LEADS`, ignoring case and spaces ("AVR", "avr", " i ").

    Returns
    -------
    str or None
        None if the name is not one of the twelve leads.
    """
    return _CANONICAL.get(str(name).strip().lower())


def by_name(signal: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Put leads into the order of `LEADS` by the names in the header, never by position.

    MIMIC-IV-ECG, for example, stores aVF before aVL. Extra channels are dropped. A missing limb
    lead could be computed from two others, but then a bad electrode would pass for a clean lead,
    so the record is refused instead.

    Parameters
    ----------
    signal : (n, T) array
    names : sequence of n str
        The channel names in the header.

    Returns
    -------
    (12, T) array

    Raises
    ------
    BadRecord
        A lead is missing or occurs twice (the message names it), or the number of names is not n.
    """
    if len(names) != len(signal):
        raise BadRecord(f"{len(signal)} channels but {len(names)} lead names")
    found = [canonical_name(name) for name in names]
    missing = [lead for lead in LEADS if lead not in found]
    if missing:
        raise BadRecord(f"lead {', '.join(missing)} missing")
    twice = [lead for lead in LEADS if found.count(lead) > 1]
    if twice:
        raise BadRecord(f"lead {', '.join(twice)} occurs twice")
    return np.asarray(signal)[[found.index(lead) for lead in LEADS]]


def einthoven_residual(signal: np.ndarray) -> np.ndarray:
    """Return the mean of |I + III - II| over time, in the unit of the signal.

    By Einthoven's law it is near 0 for every ECG whose limb leads are named correctly. It is large
    if leads are swapped, misnamed or differently scaled.

    Parameters
    ----------
    signal : (..., 12, T) float, in the order of `LEADS`

    Returns
    -------
    (...) float
    """
    one, two, three = (signal[..., i, :] for i in range(3))
    return np.abs(one + three - two).mean(axis=-1)

"""The twelve leads: their names, their order, and how the limb leads hang together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecg_lib.errors import BadRecord

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_CANONICAL = {lead.lower(): lead for lead in LEADS}


def canonical_name(name: str) -> str | None:
    """Spelling of a lead in `LEADS` whatever its case ("AVR", "avr", " i "); None if it is none."""
    return _CANONICAL.get(str(name).strip().lower())


def by_name(signal: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Put leads into the order of `LEADS` by the names in the header, never by position.

    MIMIC-IV-ECG, for one, stores aVF before aVL. Extra channels are dropped. A missing limb lead
    could be computed from two others, but then one bad electrode would look like a clean lead:
    the record is refused instead.

    Parameters
    ----------
    signal : array (n, T)
    names : the header's name of each of the n channels

    Returns
    -------
    array (12, T)

    Raises
    ------
    BadRecord
        A lead is missing or occurs twice; the message names it.
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
    """Mean |I + III - II| over time, in the unit of the signal.

    Near 0 for an ECG whose limb leads carry their right names (Einthoven's law), whatever the
    heart does; large where leads are swapped, misnamed or differently scaled.

    Parameters
    ----------
    signal : array (..., 12, T) in the order of `LEADS`

    Returns
    -------
    array (...)
    """
    one, two, three = (signal[..., i, :] for i in range(3))
    return np.abs(one + three - two).mean(axis=-1)

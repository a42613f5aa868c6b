"""Sets of leads: named ones, the order in which K-MERL adds leads, and leads computed from others.

A set is given as a name ("limb"), as a number of leads in the paper's order ("4"), or as lead names
("I, II, V2").
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from ecg_lib.signal.leads import LEADS, canonical_name

# The order in which K-MERL's Figure 6 adds leads (section 4.3).
PAPER_ORDER = ("I", "II", "III", "aVF", "aVR", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
LEAD_SETS = MappingProxyType(
    {
        "limb": LEADS[:6],
        "chest": LEADS[6:],
        "independent": ("I", "II", *LEADS[6:]),  # the other limb leads follow from I and II
        "all": LEADS,
    }
)


def lead_set(text: str) -> tuple[str, ...]:
    """Return the leads of a set, in the order of `LEADS`.

    Parameters
    ----------
    text : str
        A name of `LEAD_SETS`, a number from 1 to 12, or lead names separated by commas.

    Raises
    ------
    ValueError
        A name is neither a set nor a lead, a lead is named twice, or no lead is named.
    """
    text = str(text).strip()
    if text in LEAD_SETS:
        return LEAD_SETS[text]
    if text.isdecimal() and 1 <= int(text) <= len(LEADS):
        return _in_order(PAPER_ORDER[: int(text)])
    names = [name.strip() for name in text.split(",") if name.strip()]
    leads = [canonical_name(name) for name in names]
    for name, lead in zip(names, leads, strict=True):
        if lead is None:
            raise ValueError(
                f"{name[:40]!r} is no lead; give names of {', '.join(LEADS)}, a number from 1 to "
                f"12, or one of {', '.join(LEAD_SETS)}"
            )
        if leads.count(lead) > 1:
            raise ValueError(f"lead {lead} is named twice; name each lead once")
    if not leads:
        raise ValueError(f"no lead is named; give names of {', '.join(LEADS)}")
    return _in_order([lead for lead in leads if lead])


def _in_order(leads: Sequence[str]) -> tuple[str, ...]:
    return tuple(lead for lead in LEADS if lead in leads)


def mask_of(leads: Sequence[str]) -> np.ndarray:
    """Return which of the twelve leads a set holds, (12,) bool in the order of `LEADS`."""
    return np.isin(LEADS, list(leads))


def limb_leads(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Compute the six limb leads from I and II (Einthoven and Goldberger).

    Parameters
    ----------
    one, two : (..., T) float, mV

    Returns
    -------
    (..., 6, T) float, mV
        I, II, III, aVR, aVL, aVF.
    """
    return np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2], axis=-2)


def with_computed_limb_leads(signals: np.ndarray, leads: Sequence[str]) -> np.ndarray:
    """Compute the limb leads that a set lacks, if it has two limb leads to compute them from.

    Parameters
    ----------
    signals : (..., 12, T) float, mV
        Leads that are not in the set are not read.
    leads : sequence of str
        The set.

    Returns
    -------
    (..., 12, T) float, mV
        A copy. Chest leads that are not in the set are 0. Limb leads that are not are computed, or
        0 if the set has fewer than two limb leads.
    """
    present = mask_of(leads)
    filled = np.where(present[:, None], signals, 0)
    known = np.flatnonzero(present[:6])
    if len(known) >= 2:
        of_pair = limb_leads(*np.eye(2))  # (6, 2): each limb lead as a sum of I and II
        back = np.linalg.pinv(of_pair[known])  # (2, known)
        computed = of_pair @ back @ filled[..., known, :]  # (..., 6, T)
        filled[..., :6, :] = np.where(present[:6, None], filled[..., :6, :], computed)
    return filled.astype(signals.dtype)

"""Show an encoder fewer than twelve leads: absent ones dropped, or filled in one of several ways.

K-MERL drops absent leads and gives its baseline zeros (section 4.3). The paper does not say whether
these are zeros of the signal or of the scaled input, so both are here, beside three fillings that a
model of twelve leads could have been given instead.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.signal.lead_sets import mask_of, with_computed_limb_leads
from ecg_lib.signal.leads import LEADS
from ecg_lib.signal.normalise import normalise

DROPPED = "dropped"
COMPUTED = "limb leads computed"
ZERO_MV = "0 mV"
ZERO_SCALED = "0 after scaling"
RESCALED = "0 after scaling, rest times 12/W"
MEAN = "mean of the lead"
FORMS = (DROPPED, COMPUTED, ZERO_MV, ZERO_SCALED, RESCALED, MEAN)


def shown(
    signals_mv: np.ndarray,
    leads: Sequence[str],
    encoder: EcgEncoder,
    form: str = DROPPED,
    lead_means: np.ndarray | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Return what an encoder is given of ECGs of which only some leads were recorded.

    Nothing of an absent lead reaches the encoder, not even through the extremes by which a record
    is scaled.

    Parameters
    ----------
    signals_mv : (B, 12, T) float32, mV
    leads : sequence of str
        The recorded leads.
    encoder : EcgEncoder
        An encoder that reads all twelve leads.
    form : str
        One of `FORMS`.
    lead_means : (12, T) or (12, 1) float32, mV, optional
        Mean of each lead over the training ECGs; for `MEAN` only.

    Returns
    -------
    ecg : (B, 12, T) float32, normalised
    lead_mask : (B, 12) bool or None
        Leads that count as recorded; None if the encoder is to take all of them as recorded.

    Raises
    ------
    ValueError
        The form is unknown, the encoder reads other leads, or `MEAN` lacks the means.
    """
    reads = encoder.config.ecg_input
    if reads.leads != LEADS:
        raise ValueError(f"the encoder reads {', '.join(reads.leads)}, not the twelve leads")
    present = mask_of(leads)
    if form in (DROPPED, ZERO_SCALED, RESCALED):
        every = np.broadcast_to(present, signals_mv.shape[:2])
        ecg = normalise(signals_mv, reads.normalisation, every)
        if form == RESCALED:
            ecg *= len(LEADS) / present.sum()
    elif form == COMPUTED:
        filled = with_computed_limb_leads(signals_mv, leads)
        if present[:6].sum() >= 2:
            present = present | mask_of(LEADS[:6])
        return shown(
            filled, [lead for lead, has in zip(LEADS, present, strict=True) if has], encoder
        )
    elif form in (ZERO_MV, MEAN):
        instead = np.zeros((len(LEADS), 1), np.float32) if form == ZERO_MV else lead_means
        if instead is None:
            raise ValueError(f"{MEAN!r} needs lead_means, the mean of each lead in mV")
        ecg = normalise(np.where(present[:, None], signals_mv, instead), reads.normalisation)
    else:
        raise ValueError(f"form is {form!r}; choose {', '.join(FORMS)}")
    mask = torch.from_numpy(present).expand(len(ecg), -1) if form == DROPPED else None
    return torch.from_numpy(np.ascontiguousarray(ecg)), mask

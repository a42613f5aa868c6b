"""Test how an encoder is shown ECGs of which only some leads were recorded."""

import numpy as np
import pytest
import torch

from ecg_lib import encoders
from ecg_lib.encoders.base import EcgInput
from ecg_lib.evaluation.absent_leads import (
    COMPUTED,
    DROPPED,
    FORMS,
    MEAN,
    RESCALED,
    ZERO_MV,
    ZERO_SCALED,
    shown,
)
from ecg_lib.signal.lead_sets import lead_set, limb_leads, mask_of
from ecg_lib.signal.normalise import METHODS, normalise

SIZES = {"width": 16, "depth": 1, "heads": 2, "mlp": 32}
MEANS = np.full((12, 1), 0.3, np.float32)
LIMB = lead_set("I, II")


def reader(normalisation="record_minmax"):
    torch.manual_seed(0)
    return encoders.build("stem_vit", SIZES, EcgInput(normalisation=normalisation)).eval()


@pytest.fixture
def ecgs():
    rng = np.random.default_rng(1)
    signals = rng.normal(size=(3, 12, 1000)).astype(np.float32)
    signals[:, :6] = limb_leads(signals[:, 0], signals[:, 1])
    return signals


@pytest.mark.parametrize("normalisation", METHODS)
@pytest.mark.parametrize("form", FORMS)
def test_nothing_of_an_absent_lead_reaches_the_encoder(ecgs, form, normalisation):
    leads = lead_set("I, II, V3")
    other = np.where(mask_of(leads)[:, None], ecgs, 50).astype(np.float32)
    encoder = reader(normalisation)
    first, mask = shown(ecgs, leads, encoder, form, MEANS)
    second, _ = shown(other, leads, encoder, form, MEANS)
    assert torch.equal(first, second)
    assert (mask is None) == (form != DROPPED) or form == COMPUTED


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("normalisation", METHODS)
def test_with_all_leads_every_form_is_the_plain_input(ecgs, form, normalisation):
    ecg, mask = shown(ecgs, lead_set("all"), reader(normalisation), form, MEANS)
    np.testing.assert_array_equal(ecg.numpy(), normalise(ecgs, normalisation))
    assert mask is None or mask.all()


def test_what_stands_in_the_place_of_an_absent_lead(ecgs):
    mv = reader("mv")
    assert not shown(ecgs, LIMB, mv, ZERO_SCALED)[0][:, 2:].any()
    assert (shown(ecgs, LIMB, mv, MEAN, MEANS)[0][:, 2:] == 0.3).all()
    six = shown(ecgs, LIMB, mv, RESCALED)[0][:, :2].numpy()
    np.testing.assert_allclose(six, 6 * ecgs[:, :2].clip(-5, 5), rtol=1e-6)
    by_record = shown(ecgs, LIMB, reader(), ZERO_MV)[0][:, 2:]
    assert by_record.any(), "0 mV is not the middle of a record's range"


def test_two_limb_leads_stand_for_six(ecgs):
    computed, mask = shown(ecgs, LIMB, reader(), COMPUTED)
    measured, own = shown(ecgs, lead_set("limb"), reader(), DROPPED)
    np.testing.assert_allclose(computed.numpy(), measured.numpy(), atol=1e-5)
    assert torch.equal(mask, own)
    _, alone = shown(ecgs, lead_set("II, V1"), reader(), COMPUTED)
    assert alone[0].tolist() == mask_of(("II", "V1")).tolist()


def test_what_cannot_be_is_refused(ecgs):
    with pytest.raises(ValueError, match="form is 'guess'; choose dropped"):
        shown(ecgs, LIMB, reader(), "guess")
    with pytest.raises(ValueError, match="needs lead_means"):
        shown(ecgs, LIMB, reader(), MEAN)
    few = encoders.build("stem_vit", SIZES, EcgInput(leads=("I", "V1")))
    with pytest.raises(ValueError, match="reads I, V1, not the twelve"):
        shown(ecgs, LIMB, few)

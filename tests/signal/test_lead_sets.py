"""Test named sets of leads, and limb leads that are computed from others."""

import numpy as np
import pytest

from ecg_lib.signal.lead_sets import (
    LEAD_SETS,
    PAPER_ORDER,
    lead_set,
    limb_leads,
    mask_of,
    with_computed_limb_leads,
)
from ecg_lib.signal.leads import LEADS
from ecg_lib.signal.normalise import METHODS, normalise


@pytest.mark.parametrize(
    ("text", "leads"),
    [
        ("1", ("I",)),
        ("4", ("I", "II", "III", "aVF")),
        ("12", LEADS),
        ("limb", LEADS[:6]),
        ("v2, avr ,I", ("I", "aVR", "V2")),
        ("V6", ("V6",)),
    ],
)
def test_a_set_is_named_counted_or_listed(text, leads):
    assert lead_set(text) == leads
    assert [LEADS[i] for i in np.flatnonzero(mask_of(leads))] == list(leads)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("I, V7", "'V7' is no lead; give names of I, II"),
        ("I, II, i", "lead I is named twice"),
        ("", "no lead is named"),
        ("13", "'13' is no lead"),
        ("0", "'0' is no lead"),
    ],
)
def test_a_set_that_cannot_be_is_refused(text, said):
    with pytest.raises(ValueError, match=said):
        lead_set(text)


def test_the_paper_adds_each_lead_once():
    assert sorted(PAPER_ORDER) == sorted(LEADS)
    assert set(LEAD_SETS["independent"]) == {"I", "II", *LEADS[6:]}


def test_limb_leads_by_hand():
    one, two = np.array([1.0, 0.5]), np.array([0.4, 2.0])
    expected = [[1, 0.5], [0.4, 2], [-0.6, 1.5], [-0.7, -1.25], [0.8, -0.5], [-0.1, 1.75]]
    np.testing.assert_allclose(limb_leads(one, two), expected)


@pytest.mark.parametrize("known", ["I, II", "III, aVR", "aVL, aVF, V3", "limb"])
def test_any_two_limb_leads_give_the_others(known):
    rng = np.random.default_rng(0)
    ecgs = rng.normal(size=(2, 12, 50)).astype(np.float32)
    ecgs[:, :6] = limb_leads(ecgs[:, 0], ecgs[:, 1])
    leads = lead_set(known)
    kept = mask_of(leads)
    garbled = np.where(kept[:, None], ecgs, 99)  # what is not in the set must not matter
    filled = with_computed_limb_leads(garbled.astype(np.float32), leads)
    np.testing.assert_allclose(filled[:, :6], ecgs[:, :6], atol=1e-5)
    np.testing.assert_array_equal(filled[:, kept], ecgs[:, kept])
    assert not filled[:, 6:][:, ~kept[6:]].any()
    assert filled.dtype == np.float32


def test_one_limb_lead_gives_no_other():
    ecgs = np.ones((1, 12, 5), np.float32)
    filled = with_computed_limb_leads(ecgs, ("aVF", "V1"))
    assert filled[0].any(axis=1).tolist() == mask_of(("aVF", "V1")).tolist()


@pytest.mark.parametrize("method", METHODS)
def test_absent_leads_are_zero_and_do_not_set_the_scale(method):
    rng = np.random.default_rng(2)
    ecgs = rng.normal(size=(4, 12, 60)).astype(np.float32)
    present = rng.random((4, 12)) < 0.4
    present[:, 3] = True
    scaled = normalise(ecgs, method, present)
    louder = np.where(present[..., None], ecgs, 40 * ecgs)
    np.testing.assert_array_equal(normalise(louder, method, present), scaled)
    assert not scaled[~present].any() and scaled.dtype == np.float32
    for ecg, has, own in zip(ecgs, present, scaled, strict=True):
        np.testing.assert_array_equal(own[has], normalise(ecg[has], method))
    everything = np.ones((4, 12), bool)
    np.testing.assert_array_equal(normalise(ecgs, method, everything), normalise(ecgs, method))

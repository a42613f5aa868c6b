"""Tests of leads by name, resampling, normalisation and the refusal of unusable recordings."""

import numpy as np
import pytest
from ecg_folders import beats

from ecg_lib.errors import BadRecord
from ecg_lib.signal.leads import LEADS, by_name, canonical_name, einthoven_residual
from ecg_lib.signal.normalise import normalise
from ecg_lib.signal.quality import check, standardise
from ecg_lib.signal.resample import to_rate

MIMIC_ORDER = ["I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6"]


@pytest.mark.parametrize("name, lead", [("AVR", "aVR"), ("avl", "aVL"), (" i ", "I"), ("v6", "V6")])
def test_lead_names_are_known_in_any_case(name, lead):
    assert canonical_name(name) == lead


def test_a_channel_that_is_no_lead_has_no_name():
    assert canonical_name("PLETH") is None


def test_leads_are_found_by_name_and_not_by_position():
    signal = beats(100)
    shuffled = [LEADS.index(name) for name in MIMIC_ORDER]
    np.testing.assert_array_equal(by_name(signal[shuffled], MIMIC_ORDER), signal)


def test_extra_channels_are_dropped():
    signal = beats(100)
    more = np.concatenate([np.full((1, 1000), 7.0), signal])
    np.testing.assert_array_equal(by_name(more, ["PLETH", *LEADS]), signal)


def test_missing_leads_are_named_and_never_derived_from_others():
    limb = ["I", "II", *LEADS[6:]]
    rows = [LEADS.index(name) for name in limb]
    with pytest.raises(BadRecord, match="lead III, aVR, aVL, aVF missing"):
        by_name(beats(100)[rows], limb)


def test_a_lead_that_occurs_twice_is_refused():
    with pytest.raises(BadRecord, match="lead V1 occurs twice"):
        by_name(np.zeros((13, 5)), [*LEADS, "v1"])


def test_einthovens_law_holds_until_limb_leads_are_swapped():
    signal = beats(100)
    swapped = signal[[1, 0, *range(2, 12)]]
    assert einthoven_residual(signal) < 1e-9
    assert einthoven_residual(np.stack([signal, swapped]))[1] > 0.01


@pytest.mark.parametrize("method", ["fft", "polyphase"])
@pytest.mark.parametrize("fs", [100, 250, 400, 500, 1000, 257])
def test_a_slow_wave_keeps_its_shape_at_any_rate(fs, method):
    t_in, t_out = np.arange(10 * fs) / fs, np.arange(1000) / 100
    resampled = to_rate(np.sin(2 * np.pi * 1.5 * t_in)[None], fs, 100, method=method)
    assert resampled.shape == (1, 1000) and resampled.dtype == np.float32
    inner = slice(50, -50)  # filters need a margin
    np.testing.assert_allclose(
        resampled[0, inner], np.sin(2 * np.pi * 1.5 * t_out)[inner], atol=0.01
    )


def test_frequencies_above_half_the_new_rate_are_removed():
    t = np.arange(5000) / 500
    assert np.abs(to_rate(np.sin(2 * np.pi * 120 * t)[None], 500, 100)).max() < 0.01


def test_only_the_first_ten_seconds_are_used():
    signal = beats(500, seconds=15)
    np.testing.assert_array_equal(to_rate(signal, 500, 100), to_rate(signal[:, :5000], 500, 100))


def test_a_record_at_100_hz_passes_unchanged():
    signal = beats(100).astype(np.float32)
    np.testing.assert_array_equal(to_rate(signal, 100, 100), signal)


def test_a_short_record_is_refused_with_its_length():
    with pytest.raises(BadRecord, match=r"7\.3 s long, 10 s needed"):
        to_rate(beats(500, seconds=7.3), 500, 100)


def test_lead_minmax_spans_minus_one_to_one_in_every_lead_and_forgets_amplitude():
    signal = beats(100)
    scaled = normalise(signal, "lead_minmax")
    np.testing.assert_allclose(scaled.min(-1), -1, atol=1e-6)
    np.testing.assert_allclose(scaled.max(-1), 1, atol=1e-6)
    np.testing.assert_allclose(normalise(3 * signal, "lead_minmax"), scaled, atol=1e-5)


def test_record_minmax_keeps_ratios_between_leads():
    signal = beats(100)
    scaled = normalise(np.stack([signal, signal]), "record_minmax")[0]
    ratio = np.ptp(signal, axis=-1) / np.ptp(signal[0])
    np.testing.assert_allclose(np.ptp(scaled, axis=-1) / np.ptp(scaled[0]), ratio, rtol=1e-4)
    assert scaled.min() == pytest.approx(-1) and scaled.max() == pytest.approx(1)


def test_mv_changes_nothing_but_clips_artefacts():
    signal = beats(100).astype(np.float32)
    np.testing.assert_array_equal(normalise(signal, "mv"), signal)
    assert normalise(20 * signal, "mv").max() == 5


@pytest.mark.parametrize("method", ["lead_minmax", "record_minmax", "mv"])
def test_a_flat_lead_becomes_finite_values(method):
    signal = np.zeros((2, 12, 1000))
    assert np.isfinite(normalise(signal, method)).all()
    assert (normalise(signal, method) == 0).all()


def test_an_unknown_method_is_refused_by_name():
    with pytest.raises(ValueError, match="zscore"):
        normalise(beats(100), "zscore")
    with pytest.raises(ValueError, match="cubic"):
        to_rate(beats(500), 500, 100, method="cubic")


def _with(lead, value):
    signal = beats(500)
    signal[LEADS.index(lead), 1000:2000] = value
    return signal


def test_nan_is_refused_and_the_lead_named():
    with pytest.raises(BadRecord, match="lead V3: 20 % of samples are NaN"):
        check(_with("V3", np.nan))


def test_a_flat_lead_is_refused_even_off_zero():
    signal = beats(500)
    signal[LEADS.index("aVL")] = 0.7
    with pytest.raises(BadRecord, match="lead aVL: flat"):
        check(signal)


def test_an_impossible_amplitude_is_refused_with_its_value():
    with pytest.raises(BadRecord, match=r"lead V2: reaches 25\.0 mV, at most 20"):
        check(_with("V2", -25))


def test_nan_after_the_first_ten_seconds_does_not_matter():
    signal = beats(500, seconds=12)
    signal[:, 5500:] = np.nan
    assert np.isfinite(standardise(signal, LEADS, 500, 100)).all()


def test_standardise_gives_the_same_ecg_whatever_order_and_rate_it_came_in():
    shuffled = [LEADS.index(name) for name in MIMIC_ORDER]
    signal = beats(1000)
    ours = standardise(signal[shuffled], MIMIC_ORDER, 1000, 100)
    np.testing.assert_allclose(ours[:6], beats(100)[:6], atol=0.02)
    assert ours.shape == (12, 1000)


@pytest.mark.parametrize("rate, seconds", [(500, 10), (250, 10), (100, 5), (500, 5)])
def test_rate_and_length_are_the_callers(rate, seconds):
    ours = standardise(beats(1000), LEADS, 1000, rate, seconds)
    assert ours.shape == (12, seconds * rate) and ours.dtype == np.float32
    np.testing.assert_allclose(ours[:6], beats(rate, seconds)[:6], atol=0.02)

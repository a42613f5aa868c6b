"""Tests that a drawn ECG is to scale, complete and reproducible."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest

from ecg_lib.report.ecg_plot import CAPTION, plot_ecg, plot_pair
from ecg_lib.signal.leads import LEADS


@pytest.fixture
def signal():
    """Constant leads, 0.1 mV apart; lead II has one spike of 1 mV at 5 s."""
    out = np.repeat(np.arange(12)[:, None] * 0.1, 1000, axis=1)
    out[1, 500] += 1.0
    return out


def millimetres(figure):
    """Return the mm of page per unit of the axes, horizontally and vertically."""
    axes = figure.axes[0]
    box = axes.get_position()
    size = figure.get_size_inches() * 25.4
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    return box.width * size[0] / (x1 - x0), box.height * size[1] / (y1 - y0)


def test_a_millimetre_of_paper_is_a_millimetre_of_the_page(signal):
    np.testing.assert_allclose(millimetres(plot_ecg(signal)), (1, 1), rtol=1e-6)


def test_rhythm_strip_runs_at_25_mm_per_second_and_10_mm_per_millivolt(signal):
    strip = max(plot_ecg(signal).axes[0].lines, key=lambda line: len(line.get_xdata()))
    x, y = strip.get_data()
    assert x[-1] - x[0] == pytest.approx(25 * 9.99)
    assert y.max() - y.min() == pytest.approx(10.0)
    assert x[y.argmax()] - x[0] == pytest.approx(125.0)


def test_calibration_is_one_millivolt_for_a_fifth_of_a_second(signal):
    pulses = [line for line in plot_ecg(signal).axes[0].lines if len(line.get_xdata()) == 6]
    assert len(pulses) == 4
    x, y = pulses[0].get_data()
    assert np.ptp(y) == 10 and x[3] - x[2] == 5


def test_every_lead_is_named_and_the_scale_is_stated(signal):
    figure = plot_ecg(signal, title="patient")
    assert sorted(t.get_text() for t in figure.axes[0].texts) == sorted([*LEADS, "II"])
    assert [t.get_text() for t in figure.texts] == [CAPTION]
    assert figure.axes[0].get_title(loc="left") == "patient"


def test_equal_ecgs_give_equal_files(signal):
    def digest():
        buffer = io.BytesIO()
        plot_ecg(signal).savefig(buffer, format="png", dpi=50)
        return hashlib.sha256(buffer.getvalue()).hexdigest()

    assert digest() == digest()


def test_a_pair_shows_both_ecgs_in_order(signal):
    figure = plot_pair(signal, signal + 0.5, titles=("before", "after"))
    tops = {a.get_title(loc="left"): a.get_position().y0 for a in figure.axes}
    assert tops["before"] > tops["after"]
    np.testing.assert_allclose(millimetres(figure), (1, 1), rtol=1e-6)


def test_wrong_input_is_named(signal):
    with pytest.raises(ValueError, match="expected"):
        plot_ecg(signal[:3])

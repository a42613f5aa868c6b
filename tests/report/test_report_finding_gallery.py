"""Tests of the figure that shows findings side by side on ECG paper."""

import numpy as np
import pytest

from ecg_lib.data.simulated.examples import clearest_examples
from ecg_lib.report.ecg_plot import SPEED
from ecg_lib.report.figures.finding_gallery import SECONDS, SEEN_IN, finding_gallery
from ecg_lib.signal.leads import LEADS

CODES = ("NORM", "CLBBB", "IMI")


def test_examples_state_their_finding_and_are_the_same_again():
    first, again = (clearest_examples(CODES, patients=150, seed=2) for _ in range(2))
    assert list(first) == list(CODES)
    for code, record in first.items():
        assert code in record.labels
        assert np.array_equal(record.signal, again[code].signal)
    assert set(first["NORM"].labels) <= {"NORM", "SR", "SBRAD", "STACH", "SARRH"}
    assert clearest_examples(["no such code"], patients=3) == {}


def test_one_row_per_finding_and_a_recordings_column_if_needed():
    shown = {c: r.signal for c, r in clearest_examples(CODES, patients=150, seed=2).items()}
    alone = finding_gallery(shown, {})
    both = finding_gallery(shown, {"NORM": shown["NORM"]})
    assert len(alone.axes) == 3 and len(both.axes) == 6
    notes = [t.get_text() for axes in both.axes for t in axes.texts]
    assert sum("no recorded example" in note for note in notes) == 2
    leads = [t.get_text() for t in alone.axes[2].texts]
    assert leads == list(SEEN_IN["IMI"])


def test_traces_are_true_to_scale():
    flat = np.zeros((12, 1000))
    flat[LEADS.index("II"), 500] = 1.0
    figure = finding_gallery({"NORM": flat}, {})
    traces = [line.get_xydata() for line in figure.axes[0].lines]
    longest = max(traces, key=len)
    step = np.diff(longest[:, 0])
    assert np.allclose(step, SPEED / 100) and len(longest) == SECONDS * 100
    width, height = (25.4 * inch for inch in figure.get_size_inches())
    box = figure.axes[0].get_position()
    assert np.isclose(box.width * width, np.diff(figure.axes[0].get_xlim())[0])
    assert np.isclose(box.height * height, np.diff(figure.axes[0].get_ylim())[0])


@pytest.mark.parametrize("seed", range(4))
def test_a_premature_beat_is_in_the_three_seconds_shown(seed):
    record = clearest_examples(["PVC"], patients=150, seed=seed)["PVC"]
    figure = finding_gallery({"PVC": record.signal}, {})
    trace = max((line.get_xydata() for line in figure.axes[0].lines), key=len)
    seen, lead = np.diff(trace[:, 1]) / 10, np.diff(record.signal[LEADS.index("II")])  # mV
    gaps = [np.abs(lead[k : k + len(seen)] - seen).max() for k in range(len(lead) - len(seen) + 1)]
    start = int(np.argmin(gaps)) / 100
    assert min(gaps) < 1e-4
    beats = zip(record.attributes["beat_times"], record.attributes["beat_kinds"], strict=True)
    ventricular = [time for time, kind in beats if kind == "V"]
    assert any(start + 0.2 < t < start + SECONDS - 0.2 for t in ventricular)

"""Test contrastive decoding: the answer depends only on what the ECG changes."""

import numpy as np
import pytest

from ecg_lib.ecg_llm.contrast_decoding import contrastive_answers, evidence


def test_an_expectation_without_the_ecg_cancels():
    # without the ECG P(yes) is 0.1; an ECG that raises it to 0.5 is evidence for yes
    assert contrastive_answers([0.5, 0.05], [0.1, 0.1]).tolist() == ["yes", "no"]
    assert evidence([0.5], [0.1])[0] == pytest.approx(np.log(9))


def test_without_an_expectation_it_is_the_models_own_answer():
    p_yes = np.array([0.01, 0.49, 0.51, 0.99])
    assert contrastive_answers(p_yes, np.full(4, 0.5)).tolist() == ["no", "no", "yes", "yes"]
    assert np.allclose(evidence(p_yes, np.full(4, 0.5)), np.log(p_yes / (1 - p_yes)))


def test_an_ecg_that_changes_nothing_is_no_evidence_however_sure_the_model_is():
    sure = np.array([0.0, 0.3, 1.0])
    assert np.array_equal(evidence(sure, sure), np.zeros(3))
    assert np.isfinite(evidence([0.0, 1.0], [1.0, 0.0])).all()

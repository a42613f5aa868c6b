"""Test saved resamples: they draw whole patients and are the same for every model."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score as auc

from ecg_lib.errors import DataError
from ecg_lib.evaluation.resamples import Resamples
from ecg_lib.evaluation.zero_shot import auc_table
from ecg_lib.intervals import auc_over_seeds

PATIENTS = ["b", "a", "b", "c", "d", "e", "f", "g"]
TRUTH = np.array([1, 0, 1, 0, 1, 0, 1, 0], bool)
SCORE = np.array([0.9, 0.2, 0.4, 0.5, 0.3, 0.1, 0.8, 0.35])


def test_records_of_a_patient_are_drawn_together_and_as_many_patients_as_there_are():
    drawn = Resamples.draw(PATIENTS, 50, seed=0)
    weights = drawn.weights(PATIENTS)
    assert weights.shape == (50, 8)
    assert (weights[:, 0] == weights[:, 2]).all()
    one_each = [PATIENTS.index(p) for p in sorted(set(PATIENTS))]
    assert (weights[:, one_each].sum(1) == 7).all() and weights.std() > 0


def test_what_is_kept_is_read_back_and_gives_the_same_interval(tmp_path):
    drawn = Resamples.draw(PATIENTS, 200, seed=3)
    drawn.save(tmp_path / "kept" / "set.npz")
    again = Resamples.load(tmp_path / "kept" / "set.npz")
    assert list((tmp_path / "kept").iterdir()) == [tmp_path / "kept" / "set.npz"]
    first, second = (
        auc_over_seeds(TRUTH, SCORE, min_positives=1, weights=r.weights(PATIENTS))
        for r in (drawn, again)
    )
    assert first == second


def test_the_interval_is_that_of_auc_over_the_kept_draws():
    weights = Resamples.draw(PATIENTS, 300, seed=1).weights(PATIENTS)
    by_hand = []
    for row in weights.astype(int):
        records = np.repeat(np.arange(8), row)
        if 0 < TRUTH[records].sum() < len(records):
            by_hand.append(auc(TRUTH[records], SCORE[records]))
    found = auc_over_seeds(TRUTH, SCORE, min_positives=1, weights=weights)
    assert (found.ci_low, found.ci_high) == pytest.approx(
        tuple(np.percentile(by_hand, [2.5, 97.5]))
    )


def test_a_table_uses_the_kept_draws_and_leaves_out_who_cannot_carry_a_label():
    targets = pd.DataFrame({"AF": pd.array(TRUTH, dtype="boolean")})
    targets.loc[1, "AF"] = pd.NA
    scores, drawn = pd.DataFrame({"AF": SCORE}), Resamples.draw(PATIENTS, 100, seed=0)
    cells = [auc_table(scores, targets, 7, seed, 1, PATIENTS, drawn) for seed in (0, 1)]
    pd.testing.assert_frame_equal(*cells)  # the given number and seed are ignored
    known = np.arange(8) != 1
    alone = auc_over_seeds(
        TRUTH[known], SCORE[known], min_positives=1, weights=drawn.weights(PATIENTS)[:, known]
    )
    assert cells[0]["ci_low"][0] == pytest.approx(100 * alone.ci_low)


def test_an_unknown_patient_is_named():
    with pytest.raises(DataError, match="patient z"):
        Resamples.draw(PATIENTS, 5, 0).weights(["a", "z"])

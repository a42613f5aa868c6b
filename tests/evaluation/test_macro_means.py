"""Test mean AUCs over labels with at least so many positives, on cases computed by hand."""

import numpy as np
import pandas as pd
import pytest

from ecg_lib.evaluation.macro_means import mean_cells, mean_name
from ecg_lib.evaluation.probe import Part, label_cells


def case():
    """Return 24 ECGs: A has 12 positives and AUC 1, B one and AUC 19 / 23, C none."""
    truth = np.zeros((24, 3), bool)
    truth[:12, 0], truth[4, 1] = True, True
    scores = np.column_stack([-np.arange(24.0)] * 3)  # of B's 23 negatives, 4 score higher
    return truth, scores[None]


def test_a_mean_takes_the_labels_with_enough_positives():
    truth, scores = case()
    few, many = mean_cells(truth, scores, [1, 10], 50)
    assert few == {
        "label": mean_name(1),
        "value": pytest.approx(100 * (1 + 19 / 23) / 2),
        "n": 2,
        "ci_low": pytest.approx(np.nan, nan_ok=True),
        "ci_high": pytest.approx(np.nan, nan_ok=True),
    }
    assert (many["value"], many["n"]) == (100, 1) and many["ci_low"] == many["ci_high"] == 100


def test_without_a_label_that_has_enough_there_is_no_mean():
    truth, scores = case()
    (cell,) = mean_cells(truth[:, 1:], scores[:, :, 1:], [10], 50)
    assert np.isnan(cell["value"]) and cell["n"] == 0


def test_the_probe_reports_both_means_and_each_class_with_its_count():
    truth, scores = case()
    part = Part(np.zeros((24, 1)), pd.DataFrame(truth, columns=list("ABC")), np.arange(24))
    cells = pd.DataFrame(label_cells(part, scores, 50, means=[1, 10])).set_index("label")
    assert list(cells.index) == [mean_name(1), mean_name(10), "A", "B", "C"]
    assert cells["n"].tolist() == [2, 1, 12, 1, 0]
    assert cells.loc[["B", "C"], "value"].isna().all()

"""Test that the AUC of P(yes) does not depend on a threshold."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ecg_lib.evaluation.verify_auc import verify_auc


@pytest.fixture
def rows():
    kinds = ["single-verify"] * 80 + ["comparison_consecutive-verify"] * 40
    ecgs = [(f"e{i}",) for i in range(80)] + [(f"e{i}", f"e{i + 1}") for i in range(40)]
    return pd.DataFrame(
        {"question_type": kinds, "ecg_id": ecgs, "answer": [["yes"], ["no"]] * 60}
    ).set_axis(range(5, 125))


def test_a_low_prior_for_yes_lowers_accuracy_but_not_auc(rows):
    yes = rows["answer"].str[0].eq("yes")
    p = pd.Series(np.random.default_rng(0).normal(0, 1, len(rows)), rows.index) + 1.2 * yes
    careful = pd.Series(1 / (1 + np.exp(6 - p)), rows.index)
    patients = pd.Series({f"e{i}": f"p{i // 2}" for i in range(81)})
    asked = {"bold": 1 / (1 + np.exp(-p)), "careful": careful}
    found = verify_auc(asked, rows, patients, resamples=50).set_index(["row", "column"])
    assert ((careful > 0.5) == yes).mean() < 0.6
    for kind, of in (("S-Verify", slice(0, 80)), ("CC-Verify", slice(80, 120))):
        bold, late = (found.loc[(who, kind)] for who in ("bold", "careful"))
        assert bold["value"] == late["value"]
        assert bold["value"] == pytest.approx(100 * roc_auc_score(yes[of], p[of]))
        assert bold["n"] == yes[of].sum() and bold["ci_low"] < bold["value"] < bold["ci_high"]
    assert ("bold", "CI-Verify") not in found.index, "no row of that type, no cell"

"""Test tables of models shown fewer leads, on answers made by hand."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from ecg_lib.config import compose
from ecg_lib.evaluation.absent_leads import DROPPED, ZERO_MV
from ecg_lib.evaluation.lead_scores import COSINE, QUERY
from ecg_lib.experiments.lead_arms import Asked
from ecg_lib.experiments.lead_tables import (
    averaged,
    curve_cells,
    difference_cells,
    fill_cells,
    group_cells,
    groups,
)
from ecg_lib.knowledge.findings import transfer_findings

ECGS = 60
CONFIG = compose("smoke")  # arms merl and kmerl, sets 1, 3 and 12


@dataclass(frozen=True)
class Store:
    """As much of a store as the tables read."""

    records: pd.DataFrame

    def __len__(self):
        return len(self.records)


@pytest.fixture(scope="module")
def asked():
    """K-MERL is perfect by query with 12 leads and at random with fewer; MERL knows nothing."""
    rng = np.random.default_rng(0)
    labels = transfer_findings()["finding"].tolist()
    truth = pd.DataFrame(rng.random((ECGS, len(labels))) < 0.5, columns=labels)
    noise = rng.random((ECGS, len(labels)))
    perfect, nothing = truth.to_numpy(float), np.zeros((ECGS, len(labels)))

    def answers(best, way):
        shown = [(DROPPED, name) for name in ("1", "3", "12")] + [(ZERO_MV, "1"), (ZERO_MV, "12")]
        of = {"12": best, "3": nothing, "1": noise}
        return {(w, form, name): of[name] for w in {way, COSINE} for form, name in shown}

    unknown = perfect.copy()
    unknown[:, labels.index("AF")] = np.nan
    patients = [f"p{i // 2}" for i in range(ECGS)]
    store = Store(pd.DataFrame({"patient_id": patients, "attributes": [{}] * ECGS}))
    scores = {"kmerl": {0: answers(perfect, QUERY)}, "merl": {0: answers(nothing, COSINE)}}
    made = Asked("Made up", store, truth, scores)
    partly = Asked("Partly", store, truth, scores | {"merl": {0: answers(unknown, COSINE)}})
    return made, partly


def value(cells, row, column):
    (found,) = cells[(cells["row"] == row) & (cells["column"] == column)]["value"]
    return found


def test_every_averaged_finding_is_in_one_group():
    every = [finding for own in groups().values() for finding in own]
    assert sorted(every) == sorted(averaged()) and len(every) == 14


def test_the_curve_is_that_of_the_answers(asked):
    cells = curve_cells(asked[:1], CONFIG)
    assert value(cells, "K-MERL", "Made up, 12") == 100
    assert value(cells, "K-MERL", "Made up, 3") == 50
    assert 35 < value(cells, "K-MERL", "Made up, 1") < 65
    assert value(cells, "MERL", "Made up, 12") == 50
    assert set(cells["row"]) == {"K-MERL", "K-MERL, by cosine", "MERL"}
    assert (cells["ci_low"] <= cells["value"]).all() and (cells["value"] <= cells["ci_high"]).all()


def test_groups_and_fillings_have_rows_of_their_own(asked):
    grouped = group_cells(asked[:1], CONFIG)
    assert value(grouped, "K-MERL: rhythm", "Made up, 12") == 100
    fills = fill_cells(asked[:1], CONFIG)
    assert set(fills["column"]) == {"Made up, 1", "Made up, 12"}  # the profile's fill_sets
    forms = {row.partition(": ")[2] for row in fills["row"]}
    assert forms == {DROPPED, ZERO_MV}


def test_a_difference_is_paired_and_leaves_out_what_a_side_cannot_score(asked):
    cells = difference_cells(asked[:1], CONFIG, [("kmerl", "merl"), ("kmerl", "absent")])
    assert set(cells["row"]) == {"K-MERL minus MERL"}
    assert value(cells, "K-MERL minus MERL", "Made up, 12") == 50
    partly = difference_cells(asked[1:], CONFIG, [("kmerl", "merl")])
    assert value(partly, "K-MERL minus MERL", "Partly, 12") == 0  # AF is NaN for MERL

"""Test zero-shot and case studies: what is scored or left out, and which ECGs are chosen."""

import numpy as np
import pandas as pd
import pytest

from ecg_lib.data.prepare import prepare
from ecg_lib.evaluation import dialogue
from ecg_lib.evaluation.zero_shot import (
    LABEL_TEXT,
    auc_table,
    count_cells,
    label_text,
    rank_correlation,
    share_seen,
    summary_cells,
)
from ecg_lib.knowledge.zero_shot_labels import zero_shot_labels, zero_shot_targets


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Two simulated cohorts of different patients with the same names."""
    root = tmp_path_factory.mktemp("stores")
    return [prepare("simulated", None, root / str(seed), patients=60, seed=seed) for seed in (1, 2)]


def test_every_label_of_table_4_has_words():
    assert list(LABEL_TEXT) == list(zero_shot_labels())


def test_labels_that_a_cohort_cannot_carry_are_not_asked_for():
    records = pd.DataFrame({"ecg_id": ["cpsc_2018/A0001"], "labels": [{"AFIB": 100}]})
    assert list(label_text(zero_shot_targets(records))) == ["AF", "LBBB", "RBBB"]


def test_labels_are_counted_apart_from_what_is_near_them_and_blanks_have_no_cell():
    records = pd.DataFrame(
        {
            "ecg_id": ["cpsc_2018/A1", "cpsc_2018/A2", "ptbxl/1"],
            "labels": [{"LBBB": 100}, {"ILBBB": 100}, {"ILBBB": 0, "SR": 0}],
        }
    )
    cells = {(c["row"], c["column"]): (c["value"], c["n"]) for c in count_cells(records, "x")}
    assert cells["x", "LBBB"] == (1, 3) and cells["x, near", "LBBB"] == (2, 3)
    assert cells["x", "SR"] == (1, 1)  # CPSC was not labelled for rhythm
    alone = count_cells(records[:2], "CPSC")
    assert {c["column"] for c in alone} == {"AF", "LBBB", "RBBB"}


def test_auc_is_over_the_ecgs_whose_truth_is_known():
    scores = pd.DataFrame({"AF": [0.9, 0.8, 0.2, 0.1, 0.95], "SR": 0.5})
    truth = pd.DataFrame(
        {
            "AF": pd.array([True, True, False, False, None], "boolean"),
            "SR": pd.array([None] * 5, "boolean"),
        }
    )
    table = auc_table(scores, truth, resamples=50, seed=0, min_positives=2)
    assert table["column"].tolist() == ["AF"]
    assert table.loc[0, ["value", "n"]].tolist() == [100, 2]
    few = auc_table(scores, truth, resamples=50, seed=0, min_positives=3)
    assert np.isnan(few.loc[0, "value"]) and few.loc[0, "n"] == 2


def test_drawing_patients_instead_of_ecgs_widens_the_interval():
    rng = np.random.default_rng(0)
    truth = np.repeat(rng.random(40) < 0.5, 10)  # ten identical ECGs per patient
    scores = pd.DataFrame({"AF": np.repeat(rng.normal(size=40), 10) + truth})
    patients = np.repeat(np.arange(40).astype(str), 10)
    targets = pd.DataFrame({"AF": truth})
    alone, grouped = (
        auc_table(scores, targets, 200, 0, 10, groups).loc[0] for groups in (None, patients)
    )
    assert grouped.value == alone.value
    assert grouped.ci_high - grouped.ci_low > 1.5 * (alone.ci_high - alone.ci_low)


def test_leakage_is_found_by_recording_and_not_by_name(stores):
    one, other = stores
    ids = one.records["ecg_id"].tolist()
    assert set(ids[:10]) <= set(other.records["ecg_id"])
    assert share_seen(one, ids[:10], other, other.records["ecg_id"]) == 0
    assert share_seen(one, ids[:10], one, ids[5:]) == 0.5


def test_the_single_case_is_held_out_certain_and_has_most_diagnoses(stores):
    records = stores[0].records
    chosen = dialogue.choose_single(records)
    row = records.set_index("ecg_id").loc[chosen.ecg_ids[0]]
    assert row["split"] == "test" and not row["normal"]
    assert dialogue.choose_single(records) == chosen


def test_the_pair_is_of_one_patient_in_order_of_time(stores):
    records = stores[0].records
    pair = dialogue.choose_pair(records, dialogue.choose_single(records))
    first, second = (records.set_index("ecg_id").loc[e] for e in pair.ecg_ids)
    assert pair.template == dialogue.NEW
    assert first["patient_id"] == second["patient_id"]
    assert first["recorded_at"] < second["recorded_at"]


def test_without_a_pair_another_patients_normal_ecg_is_the_first(stores):
    records = stores[0].records.drop_duplicates("patient_id")
    single = dialogue.choose_single(records)
    pair = dialogue.choose_pair(records, single)
    assert pair.template == dialogue.NEW_IN_OTHER and pair.ecg_ids[1] == single.ecg_ids[0]
    assert records.set_index("ecg_id").loc[pair.ecg_ids[0], "normal"]


def test_rank_correlation_is_the_mean_over_pairs_and_knows_only_order():
    scores = pd.DataFrame({"a": [1, 2, 3, 4], "b": [2, 4, 6, 80]})
    assert rank_correlation(scores) == 1
    assert rank_correlation(scores.assign(b=-scores["b"])) == -1
    assert rank_correlation(scores.assign(c=-scores["b"])) == pytest.approx(-1 / 3)
    assert np.isnan(rank_correlation(scores[["a"]]))


def test_the_summary_has_both_means_and_their_paired_difference():
    truth = pd.DataFrame({"a": [True, True, False, False], "b": [True, False, True, False]})
    truth = truth.astype("boolean").assign(c=pd.array([None, True, False, True], "boolean"))
    good = pd.DataFrame({"a": [4, 3, 2, 1], "b": [4, 2, 3, 1], "c": 0})
    coin = pd.DataFrame({"a": [1.0] * 4, "b": [4, 2, 3, 1], "c": 0})
    cells = summary_cells({"CLIP": coin, "ECG-LLM": good}, truth, 50, 0, 1)
    value = {(cell["row"], cell["column"]): (cell["value"], cell["n"]) for cell in cells}
    assert value["CLIP", "mean AUC"] == (75, 2) and value["ECG-LLM", "mean AUC"] == (100, 2)
    assert value["ECG-LLM - CLIP", "mean AUC"] == (25, 2)
    assert value["ECG-LLM", "rank correlation"] == (pytest.approx(0.8), 2)

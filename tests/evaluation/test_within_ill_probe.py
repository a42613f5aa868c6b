"""Test probes among the ill: features of a finding help, features of illness alone do not."""

import numpy as np
import pytest
import torch
from questions_cohort import synthetic_records

from ecg_lib.ecg_llm.projector import Projector
from ecg_lib.evaluation.severity_strata import WITHIN, within_illness
from ecg_lib.evaluation.within_ill_probe import probe_within_ill, slot_features
from ecg_lib.questions.build import paired_test


@pytest.fixture(scope="module")
def records():
    return synthetic_records(1200)


@pytest.fixture(scope="module")
def rows(records):
    return paired_test(records, 30, 0, [1, 43])


def balanced(given, rows, records):
    own = rows[given != ""]
    right = {"probe": given[own.index] == own["answer"].str[0]}
    facts = records.set_index("ecg_id")
    table = within_illness(right, own, facts["normal"], facts["patient_id"], resamples=20)
    return table.set_index(["row", "column"]).loc[("probe, S-Verify", WITHIN)]


def test_findings_are_read_among_the_ill_and_illness_is_worth_nothing(records, rows):
    codes = sorted({code for labels in records["labels"] for code in labels} - {"NORM"})
    rng = np.random.default_rng(0)
    shown = np.array([[float(code in labels) for code in codes] for labels in records["labels"]])
    ill = ~records["normal"].to_numpy()
    features = {
        "findings": shown + 0.1 * rng.normal(size=shown.shape),
        "illness": np.column_stack([ill, ill]) + rng.normal(size=(len(ill), 2)),
    }
    said = probe_within_ill(features, records, rows)
    verify = rows["question_type"] == "single-verify"
    assert (said["findings"][~verify] == "").all() and (said["findings"][verify] != "").mean() > 0.5
    assert (said["findings"] == "").equals(said["illness"] == "")  # both answer the same questions
    assert balanced(said["findings"], rows, records)["value"] > 95
    assert 35 < balanced(said["illness"], rows, records)["value"] < 65


def test_only_the_ill_of_the_training_split_teach(records, rows):
    """Wrong labels on all other ECGs leave the answers unchanged."""
    features = {"noise": np.random.default_rng(1).normal(size=(len(records), 4))}
    teach = (records["split"] == "train") & ~records["normal"]
    wrong = records.assign(labels=records["labels"].where(teach, [{}] * len(records)))
    said, other = (probe_within_ill(features, r, rows)["noise"] for r in (records, wrong))
    assert said.equals(other)


def test_slots_are_the_mean_and_the_maximum_of_what_the_projector_gives():
    class Tokens:
        def get(self, ecg_ids):
            return torch.stack([torch.full((8, 3), float(ecg)) for ecg in ecg_ids])

    projector = Projector(3, 5)
    slots = projector(Tokens().get(["2", "1"]))  # (2, 2, 5)
    found = slot_features(projector, Tokens(), ["2", "1"])
    wanted = torch.cat([slots.mean(1), slots.amax(1)], dim=1).detach().numpy()
    assert np.allclose(found, wanted) and found.shape == (2, 10)

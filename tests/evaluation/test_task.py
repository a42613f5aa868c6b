"""Test evaluation sets: every file keeps the contract, and a new file is a new set."""

import numpy as np
import pandas as pd
import pytest

from ecg_lib.data.prepare import find_cohort, prepare
from ecg_lib.data.sources.ptbxl import PtbXl
from ecg_lib.data.write_store import write_store
from ecg_lib.errors import DataError
from ecg_lib.evaluation import task as tasks
from ecg_lib.evaluation.hand_features import hand_features
from ecg_lib.evaluation.probe import linear, part_of, probe_table
from ecg_lib.evaluation.task import WHOLE, load_task, task_names
from ecg_lib.evaluation.transfer import TASK
from ecg_lib.knowledge.findings import FINDINGS, transfer_findings
from ecg_lib.knowledge.zero_shot_labels import zero_shot_targets

SUPERCLASSES = load_task("superclasses.yaml")
OWN = """
title: Fast and slow
cohorts: []
split: store
minimum: 50
labels:
  fast: {codes: [STACH, SVTAC], prompts: [sinus tachycardia]}
  slow: {codes: [SBRAD], prompts: [sinus bradycardia, slow]}
"""


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A larger and a smaller simulated cohort of different patients."""
    root = tmp_path_factory.mktemp("stores")
    return [
        prepare("simulated", None, root / str(seed), patients=n, seed=seed)
        for seed, n in ((1, 150), (2, 60))
    ]


class Few(PtbXl):
    """The first 200 available ECGs of PTB-XL."""

    def index(self):
        return super().index()[:200]


# -- the contract of every file ----------------------------------------------------------------


@pytest.mark.parametrize("name", task_names())
def test_every_task_has_known_codes_texts_and_targets(name, stores):
    task = load_task(f"{name}.yaml")
    assert task.name == name and task.title and task.labels
    for label in task.labels.values():
        assert label.codes or task.released, "labels without codes are in the released files"
        assert set(label.codes) <= set(FINDINGS.index)
        assert label.prompts and all(text.strip() == text != "" for text in label.prompts)
    targets = task.targets(stores[0].records)
    assert list(targets) == list(task.prompts) == list(task.labels)
    assert targets.index.equals(stores[0].records.index)
    known = targets.columns[targets.notna().any()]
    assert list(known) == [name for name, label in task.labels.items() if label.codes]
    assert targets[known].to_numpy(dtype=float).sum() > 0
    assert targets.equals(task.scored(stores[0].records))
    members = set(np.flatnonzero(task.members(stores[0].records)))
    assert set(task.test_rows(stores[0])) <= members
    if task.split != WHOLE:
        train, test = task.rows(stores[0], stores[0])
        assert len(train) and len(test) and not set(train) & set(test)
        assert set(train) | set(test) <= members


def test_another_label_set_is_another_file_and_nothing_else(tmp_path, monkeypatch, stores):
    monkeypatch.setattr(tasks, "FOLDER", tmp_path)
    (tmp_path / "rates.yaml").write_text(OWN)
    assert task_names() == ["rates"]
    task, store = load_task("rates.yaml"), stores[0]
    assert task.prompts == {"fast": ("sinus tachycardia",), "slow": ("sinus bradycardia", "slow")}
    rows = task.rows(store, store)
    parts = [part_of(store, own, np.ones((len(own), 2)), task) for own in rows]
    table = probe_table(*parts, [1.0], [0], 5, 1, linear)
    assert set(table["label"]) == {"mean of labels", "fast", "slow"}
    told = [load_task("rates.yaml").hash]
    for old, new in (("Fast and", "Rapid and"), ("[SBRAD]", "[SBRAD, SR]")):
        (tmp_path / "rates.yaml").write_text(OWN.replace(old, new))
        told.append(load_task("rates.yaml").hash)
    assert told[0] == told[1] != told[2], "a title is no part of what is measured"


@pytest.mark.parametrize(
    "old, new, field",
    [
        ("title: Fast and slow", "titel: x", "titel: unknown field"),
        ("split: store", "split: fold 9", "split"),
        ("split: store", "split: {}", "split"),
        ("minimum: 50", "minimum: often", "minimum"),
        ("SVTAC", "FASTEST", "labels.fast.codes: 'FASTEST'"),
        ("codes: [SBRAD]", "superclass: slowness", "labels.slow.superclass: 'slowness'"),
        ("prompts: [sinus tachycardia]", "prompts: []", "labels.fast.prompts"),
        ("codes: [SBRAD], ", "", "labels.slow.codes"),
        ("minimum: 50", "minimum: 50\ntable: other.csv", "table"),
        ("minimum: 50", "minimum: 50\ntable: zero_shot_labels.csv", "labels.fast: not a label"),
    ],
)
def test_a_wrong_field_is_named_with_its_file_in_one_line(old, new, field, tmp_path):
    (tmp_path / "rates.yaml").write_text(OWN.replace(old, new))
    with pytest.raises(DataError) as error:
        load_task(tmp_path / "rates.yaml")
    assert str(error.value).startswith(f"rates.yaml: {field}") and "\n" not in str(error.value)


def test_an_unknown_task_is_answered_with_those_there_are():
    with pytest.raises(DataError, match=r"unheard\.yaml: no such evaluation set.*superclasses"):
        load_task("unheard.yaml")


# -- who has a label ---------------------------------------------------------------------------


def test_superclasses_are_the_diagnostic_classes_of_ptb_xl(real_data):
    table = pd.read_csv(find_cohort(real_data, "ptbxl") / "scp_statements.csv", index_col=0)
    diagnostic = table["diagnostic_class"].dropna()
    for name, label in SUPERCLASSES.labels.items():
        # other data sets use these codes without saying whether the block is complete
        beyond = {"LBBB", "RBBB"} & set(label.codes)
        assert set(label.codes) - beyond == set(diagnostic.index[diagnostic == name])


def test_fields_of_published_sets_leave_the_hash_of_the_others_as_it_was():
    # results on disk are keyed by it
    hashes = {name: load_task(f"{name}.yaml").hash for name in ("superclasses", "findings")}
    assert hashes == {"superclasses": "348f9697526c1d7c", "findings": "92c919f9a25902ca"}


def test_any_likelihood_counts_and_an_ecg_may_have_several_superclasses():
    records = pd.DataFrame({"labels": [{"IMI": 15, "LVH": 0}, {"NORM": 100}, {"SR": 0}]})
    targets = SUPERCLASSES.targets(records)
    assert list(targets.columns) == ["NORM", "MI", "STTC", "CD", "HYP"]
    assert targets.to_numpy().tolist() == [
        [False, True, False, False, True],
        [True, False, False, False, False],
        [False] * 5,
    ]


def test_a_minimum_leaves_out_what_is_unlikely_but_not_what_has_no_likelihood(tmp_path):
    (tmp_path / "rates.yaml").write_text(OWN)
    records = pd.DataFrame({"labels": [{"SBRAD": p} for p in (0, 15, 50, 100)]})
    targets = load_task(tmp_path / "rates.yaml").targets(records)
    assert targets["slow"].tolist() == [True, False, True, True]


def test_table_4_and_the_findings_keep_their_tables(stores):
    records = stores[0].records
    pd.testing.assert_frame_equal(
        load_task("table4.yaml").targets(records), zero_shot_targets(records)
    )
    assert list(TASK.labels) == list(transfer_findings()["finding"])


# -- training and test rows --------------------------------------------------------------------


def test_one_store_is_parted_by_folds_or_splits_and_patients_stay_apart(stores):
    large, small = stores
    train, test = SUPERCLASSES.rows(large, large)
    patients = large.records["patient_id"]
    assert not set(patients.iloc[train]) & set(patients.iloc[test])
    assert set(large.records["split"].iloc[test]) == {"test"}
    with pytest.raises(DataError, match="give one store for both"):
        SUPERCLASSES.rows(large, small)  # patients of two simulated cohorts share their names
    with pytest.raises(DataError, match="whole cohorts"):
        load_task("table4.yaml").rows(large, large)


def test_ptb_xls_folds_part_its_store(real_data, tmp_path):
    root = find_cohort(real_data, "ptbxl")
    store = write_store(tmp_path / "s", Few(root, intervals=False))
    train, test = SUPERCLASSES.rows(store, store)
    folds = store.attributes.map(lambda known: known["strat_fold"])
    assert set(folds.iloc[test]) <= {9, 10} and not set(folds.iloc[train]) & {9, 10}
    assert len(train) and len(test)
    own, asked = load_task("ptbxl_form.yaml").rows(store, store)
    assert set(folds.iloc[asked]) == {10} and not set(folds.iloc[own]) & {9, 10}
    form = [code for code in FINDINGS.index if "form" in FINDINGS.at[code, "kinds"]]
    assert all(set(form) & set(store.labels.iloc[row]) for row in (*own, *asked))
    features = hand_features(store, np.arange(40))
    assert features.shape[0] == 40 and np.isfinite(features).mean() > 0.9

"""Tests that written reports state what is true of an ECG, in an order without meaning."""

import numpy as np
import pytest

from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.write_store import write_store
from ecg_lib.questions.written_reports import written_reports


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    cohort = SimulatedCohort(patients=150, seed=3)
    return write_store(tmp_path_factory.mktemp("store") / "s", cohort)


def test_a_written_report_states_labels_in_a_new_order_each_time(store):
    report, rng = written_reports(store), np.random.default_rng(0)
    records = store.records
    block = records[[("CLBBB" in labels) for labels in records["labels"]]]["ecg_id"].iloc[0]
    texts = {report(block, rng) for _ in range(20)}
    assert len(texts) > 1
    assert len({frozenset(text.split(". ")) for text in texts}) == 1
    said = texts.pop().split(". ")
    assert "complete left bundle branch block" in said and "left bundle branch block" in said
    for ecg in records["ecg_id"]:
        told = report(ecg, rng).split(". ")
        sure = {s for s in told if not s.startswith("possible ")}
        assert not {f"possible {s}" for s in sure} & set(told)

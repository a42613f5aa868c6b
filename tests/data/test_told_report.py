"""Test that a told report is the report that the simulator writes, and that it tells the truth."""

import hashlib
from functools import cache

import numpy as np
import pytest

from ecg_lib.data.simulated import told_report
from ecg_lib.data.simulated.cohort import draw_patient
from ecg_lib.data.simulated.reports import write_report
from ecg_lib.data.simulated.told_report import tell
from ecg_lib.errors import DataError
from ecg_lib.knowledge.findings import is_certain


@cache
def drafts():
    return [draw_patient(np.random.default_rng([5, k]), 1)[0] for k in range(600)]


def test_the_told_text_is_the_written_one_and_uses_as_many_random_numbers():
    for k, draft in enumerate(drafts()):
        one, other = np.random.default_rng(k), np.random.default_rng(k)
        written = write_report(one, draft.labels, draft.attributes)
        assert tell(other, draft.labels, draft.attributes).text == written
        assert one.random() == other.random()


def test_fifty_reports_are_byte_for_byte_those_of_before():
    rng = np.random.default_rng(0)
    texts = [write_report(rng, draft.labels, draft.attributes) for draft in drafts()[:50]]
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    assert digest == "81d1282ca8e20ba880d25875be6b60f2711f68083ef2223807cc7161590f5162"


def test_what_is_told_stands_in_the_report_and_fits_the_labels():
    met = set()
    for k, draft in enumerate(drafts()):
        told = tell(np.random.default_rng(k), draft.labels, draft.attributes)
        for code, wording in {**told.asserted, **told.doubted}.items():
            assert wording.split("{leads}")[0].split("{stage}")[-1] in told.text
            sure = is_certain(draft.labels[code]) or code == "NORM"
            assert sure == (code in told.asserted)
        assert not set(told.denied) & set(draft.labels)
        assert bool(told.denied) == any(no in told.text for no in told_report.denials())
        met |= {kind for kind in ("asserted", "doubted", "denied") if getattr(told, kind)}
    assert met == {"asserted", "doubted", "denied"}


def test_a_report_is_told_by_hand():
    """One finding, doubted: the text holds its only wording and nothing is asserted."""
    labels, attributes = {"LVH": 50.0}, {"heart_axis": "normal heart axis"}
    told = tell(np.random.default_rng(1), labels, attributes, {"LVH": ["big heart"]})
    assert told.doubted == {"LVH": "big heart"} and not told.asserted
    doubts = ("possible big heart", "big heart cannot be excluded", "consider big heart")
    assert any(words in told.text for words in (*doubts, "suspected big heart"))


def test_a_negative_sentence_without_its_findings_is_named(monkeypatch):
    monkeypatch.setattr(told_report, "phrases", lambda: {"negations": [{"say": ["no pulse"]}]})
    with pytest.raises(DataError, match="denials.yaml"):
        told_report.denials.__wrapped__()

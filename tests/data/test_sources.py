"""Test that every source in data/sources/ keeps the contract and that a new one is one file."""

import importlib
import inspect
import sys

import pytest

from ecg_lib.data.prepare import build_source, find_cohort, prepare, signatures, sources
from ecg_lib.errors import DataError
from ecg_lib.signal.resample import STANDARD_RATE

MINE = '''
"""A source of two ECGs in text files."""

import numpy as np

from ecg_lib.data.folders import locate
from ecg_lib.data.record import EcgRecord
from ecg_lib.errors import BadRecord
from ecg_lib.signal.leads import LEADS
from ecg_lib.signal.quality import standardise


class Mine:
    NAME, SIGNATURE = "mine", "mine.txt"
    name, version = "mine", "1"

    def __init__(self, root, rate=100):
        self.root, self.rate = locate(root, self.SIGNATURE, "Mine"), rate

    def index(self):
        return (self.root / "mine.txt").read_text().split()

    def item_name(self, item):
        return item

    def read(self, item):
        if item == "broken":
            raise BadRecord("it says so")
        signal = np.random.default_rng(0).normal(size=(12, 10_000))
        signal = standardise(signal, LEADS, 1000, self.rate)
        return EcgRecord(f"mine/{item}", "p1", signal, rate=self.rate)
'''


@pytest.fixture
def added(tmp_path, monkeypatch):
    """A function that adds a file with the given text to data/sources/."""
    package = importlib.import_module("ecg_lib.data.sources")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / "added")])
    (tmp_path / "added").mkdir()

    def add(text, name):
        monkeypatch.delitem(sys.modules, f"ecg_lib.data.sources.{name}", raising=False)
        (tmp_path / "added" / f"{name}.py").write_text(text)

    yield add
    for name in ("mine_text", "mine_again"):
        sys.modules.pop(f"ecg_lib.data.sources.{name}", None)
        vars(package).pop(name, None)


@pytest.mark.parametrize("name, source", sources().items())
def test_a_source_has_what_a_preparation_needs(name, source):
    assert source.NAME == name and name.isidentifier()
    for member in ("index", "item_name", "read"):
        assert callable(getattr(source, member))
    options = inspect.signature(source).parameters
    assert options["rate"].default == STANDARD_RATE
    assert ("root" in options) == (source.SIGNATURE is not None)
    assert inspect.getdoc(source)


def test_a_source_without_a_folder_has_no_signature_and_ecgqa_is_found_like_a_cohort():
    assert set(sources()) - set(signatures()) == {"simulated"}
    assert set(signatures()) - set(sources()) == {"ecgqa"}


def test_a_further_source_is_a_further_file(added, tmp_path):
    added(MINE, "mine_text")
    (tmp_path / "data" / "folder").mkdir(parents=True)
    (tmp_path / "data" / "folder" / "mine.txt").write_text("first broken")
    assert signatures()["mine"] == "mine.txt"
    assert find_cohort(tmp_path / "data", "mine") == tmp_path / "data" / "folder"
    store = prepare("mine", tmp_path / "data", tmp_path / "store", rate=250)
    assert store.records.ecg_id.tolist() == ["mine/first"]
    assert (store.rate, store.samples) == (250, 2500)
    assert store.manifest["reasons"] == {"it says so": 1}


def test_two_sources_of_one_name_are_refused(added):
    added(MINE, "mine_text")
    added(MINE, "mine_again")
    with pytest.raises(DataError, match="another source is named mine"):
        sources()


def test_simulated_ecgs_have_one_rate():
    with pytest.raises(DataError, match="rate is 500 Hz; only 100 Hz"):
        build_source("simulated", None, rate=500, patients=3)
    assert build_source("simulated", None, patients=3).rate == 100


@pytest.mark.parametrize("rate", [0, -500])
def test_an_impossible_rate_is_refused(rate, tmp_path):
    with pytest.raises(DataError, match="give 1 or more"):
        build_source("ludb", tmp_path, rate=rate)

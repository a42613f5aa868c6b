"""Test that a store records its sampling rate and that stores of several rates coexist."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from ecg_folders import Listed, beats, ptbxl_row, write_challenge, write_mimic, write_ptbxl

from ecg_lib.data import shards
from ecg_lib.data.prepare import prepare
from ecg_lib.data.record import EcgRecord
from ecg_lib.data.sources.ptbxl import PtbXl
from ecg_lib.data.store import EcgStore, folder_name
from ecg_lib.data.write_store import write_store
from ecg_lib.errors import DataError
from ecg_lib.signal.leads import LEADS
from ecg_lib.signal.resample import to_rate


def at(rate, n=3):
    records = {}
    for number in range(n):
        signal = beats(rate, seed=number).astype(np.float32)
        records[f"{number}"] = EcgRecord(f"listed/{number}", f"p{number}", signal, rate=rate)
    source = Listed(records)
    source.rate = rate
    return source


@pytest.mark.parametrize("rate", [100, 250, 500])
def test_a_store_says_at_which_rate_and_how_long(tmp_path, rate):
    store = write_store(tmp_path / "store", at(rate))
    assert (store.rate, store.samples) == (rate, 10 * rate)
    assert store.signals.shape == (3, 12, 10 * rate) and store.record(1).rate == rate
    manifest = json.loads((tmp_path / "store" / "manifest.json").read_text())
    assert (manifest["rate"], manifest["seconds"]) == (rate, 10)
    store.verify()


def test_the_standard_rate_has_the_plain_name_and_any_other_its_own():
    assert folder_name("ptbxl", 100) == folder_name("ptbxl") == "ptbxl"
    assert folder_name("ptbxl", 500) == "ptbxl-500hz"


def test_a_store_without_a_rate_is_an_older_one_at_100_hz(tmp_path):
    whole = write_store(tmp_path / "store", at(100)).hash
    path = tmp_path / "store" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in manifest.items() if k not in ("rate", "seconds")}))
    older = EcgStore.open(tmp_path / "store")
    assert (older.rate, older.samples, older.hash) == (100, 1000, whole)
    older.verify()


def test_the_same_numbers_at_another_rate_are_another_content_and_another_preparation(tmp_path):
    slow, fast = at(100), at(100)
    fast.rate = 200
    fast.records = {k: dataclasses.replace(r, rate=200) for k, r in fast.records.items()}
    assert shards.key_of(slow, slow.index()) != shards.key_of(fast, fast.index())
    one, other = write_store(tmp_path / "a", slow), write_store(tmp_path / "b", fast)
    np.testing.assert_array_equal(one.signals, other.signals)
    assert one.hash != other.hash and other.manifest["seconds"] == 5
    other.verify()


def test_a_store_is_never_replaced_by_one_of_another_rate(tmp_path):
    before = write_store(tmp_path / "store", at(100)).hash
    with pytest.raises(DataError, match="at 100 Hz; name another folder for 500 Hz") as error:
        write_store(tmp_path / "store", at(500), reuse=True)
    assert "\n" not in str(error.value)
    assert EcgStore.open(tmp_path / "store").hash == before


def test_a_record_at_another_rate_than_its_source_is_refused(tmp_path):
    source = at(500)
    source.records |= at(100).records
    with pytest.raises(DataError, match="listed/0 is at 100 Hz, but its source is at 500 Hz"):
        write_store(tmp_path / "store", source)


@pytest.mark.parametrize("name", ["mimic_iv_ecg", "challenge"])
def test_sources_give_the_rate_asked_for(tmp_path, name):
    if name == "challenge":
        root = write_challenge(tmp_path / "root", {"georgia/E00001": "426783006"})
    else:
        root = write_mimic(tmp_path / "root", {7: ["Sinus rhythm", "Normal ECG"]})
    store = prepare(name, root, tmp_path / "store", rate=250)
    assert (store.rate, store.samples) == (250, 2500)
    np.testing.assert_allclose(store.mv(0)[0, :6], beats(250)[:6], atol=0.02)


def test_ptbxl_above_100_hz_is_read_from_the_500_hz_files_and_never_made_up(tmp_path):
    rows = [ptbxl_row(number, number) for number in (1, 2, 3)]
    root = write_ptbxl(tmp_path / "ptbxl", rows[:2], rate=500)
    write_ptbxl(root, rows, rate=100, signals={n: beats(100, seed=n + 9) for n in (1, 2, 3)})
    store = prepare("ptbxl", root, tmp_path / "store", rate=500, intervals=False)
    np.testing.assert_allclose(store.mv(0)[0], beats(500, seed=1), atol=0.001)
    quarantine = pd.read_csv(store.folder / "quarantine.csv")
    assert quarantine.record.tolist() == ["ptbxl/00003"]
    assert "on disk at 100 Hz only" in quarantine.reason[0]
    with pytest.raises(DataError, match="recorded at 500 Hz"):
        PtbXl(root, rate=1000)


def test_the_real_ecgs_lie_side_by_side_at_100_and_at_500_hz(real_data, tmp_path):
    """Each store keeps or quarantines every available ECG; both hold the same signals."""
    stores = {}
    for rate in (100, 500):
        folder = tmp_path / folder_name("ptbxl", rate)
        stores[rate] = prepare("ptbxl", real_data, folder, workers=2, rate=rate, intervals=False)
    coarse, fine = EcgStore.open(tmp_path / "ptbxl"), EcgStore.open(tmp_path / "ptbxl-500hz")
    assert coarse.hash == stores[100].hash != fine.hash == stores[500].hash
    assert coarse.signals.shape == (len(coarse), 12, 1000)
    assert fine.signals.shape == (len(fine), 12, 5000) and len(fine) > 340
    known = set()
    for store in (coarse, fine):
        store.verify()
        reasons = pd.read_csv(store.folder / "quarantine.csv").set_index("record").reason
        assert reasons.ne("").all()
        known = known or set(store.records.ecg_id) | set(reasons.index)
        assert set(store.records.ecg_id) | set(reasons.index) == known
    # every ECG in the fine store has a 500 Hz file; those reported as 100 Hz only have none
    files = {int(path.stem[:5]) for path in (real_data / "ptbxl" / "records500").rglob("*.hea")}
    kept = {int(ecg_id[-5:]) for ecg_id in fine.records.ecg_id}
    coarser = reasons[reasons.str.startswith("on disk at 100 Hz only")]
    assert kept <= files and not files & {int(name[-5:]) for name in coarser.index}

    both = [ecg_id for ecg_id in fine.records.ecg_id if ecg_id in coarse]
    assert len(both) > 340
    ours, theirs = to_rate(fine.mv(both), 500, 100), coarse.mv(both)
    ours, theirs = (x - x.mean(-1, keepdims=True) for x in (ours, theirs))
    alike = (ours * theirs).sum(-1) / (
        np.linalg.norm(ours, axis=-1) * np.linalg.norm(theirs, axis=-1)
    )
    assert alike.shape == (len(both), len(LEADS))
    # the published 100 Hz files lag by 1 ms and keep more of the noise of a noisy lead
    assert (np.median(alike, axis=0) > 0.99).all()
    assert (np.quantile(alike, 0.05, axis=0) > 0.95).all(), np.quantile(alike, 0.05, axis=0)

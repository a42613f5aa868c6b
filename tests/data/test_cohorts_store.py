"""Test the prepared store: records come back unchanged, however it was written or interrupted."""

import json

import numpy as np
import pandas as pd
import pytest
from ecg_folders import Listed, beats

from ecg_lib.data import shards
from ecg_lib.data.record import EcgRecord, Source
from ecg_lib.data.store import EcgStore, summary
from ecg_lib.data.write_store import write_store
from ecg_lib.errors import BadRecord, DataError


def record(number, **fields):
    fields = {
        "ecg_id": f"listed/{number}",
        "patient_id": f"p{number // 2}",
        "signal": beats(100, seed=number).astype(np.float32),
        "split": ["train", "valid", "test"][number // 2 % 3],
        "labels": {"NORM": 100.0} if number % 2 else {"AFIB": 50.0},
        "attributes": {"noise": {"static noise": ["V1"]}, "beat_times": np.array([0.5, 1.5])},
        "report": f"sinus rhythm, ECG {number}",
        "age": 40.0 + number,
        "sex": "F",
    } | fields
    return EcgRecord(**fields)


def listed(n=7):
    return Listed({f"{i}": record(i) for i in range(n)})


def test_the_example_source_meets_the_protocol():
    assert isinstance(listed(), Source)


def test_a_record_comes_back_as_it_went_in(tmp_path):
    source = listed()
    store = write_store(tmp_path / "store", source)
    ours, theirs = store.record("listed/3"), source.records["3"]
    np.testing.assert_allclose(ours.signal, theirs.signal, atol=0.00051)  # int16 uV
    assert ours.signal.dtype == np.float32
    assert ours.labels == theirs.labels and ours.report == theirs.report
    assert (ours.age, ours.sex, ours.split) == (theirs.age, theirs.sex, theirs.split)
    assert ours.attributes["beat_times"] == [0.5, 1.5]


def test_the_files_are_readable_without_this_library(tmp_path):
    write_store(tmp_path / "store", listed())
    signals = np.load(tmp_path / "store" / "signals.npy", mmap_mode="r")
    table = pd.read_parquet(tmp_path / "store" / "records.parquet")
    assert signals.shape == (7, 12, 1000) and signals.dtype == np.int16
    assert json.loads(table.labels[1]) == {"NORM": 100.0}
    assert list(table.normal) == [False, True] * 3 + [False]


def test_rows_ids_and_slices_select_the_same_signals(tmp_path):
    store = write_store(tmp_path / "store", listed())
    by_id = store.mv(["listed/5", "listed/2"])
    np.testing.assert_array_equal(by_id, store.mv([5, 2]))
    np.testing.assert_array_equal(store.mv(slice(2, 3)), store.mv(2))
    np.testing.assert_array_equal(store.mv("listed/2"), store.mv(np.array([2])))
    assert store.mv([]).shape == (0, 12, 1000)
    assert store.row_of("listed/5") == 5 and "listed/9" not in store


def test_rows_select_by_column(tmp_path):
    store = write_store(tmp_path / "store", listed())
    assert list(store.rows(split="valid")) == [2, 3]
    assert list(store.rows(split="valid", normal=True)) == [3]


def test_bad_records_are_quarantined_with_their_reason_and_the_summary_tells(tmp_path):
    source = listed(4)
    source.records |= {"x": BadRecord("lead V2: flat"), "y": BadRecord("lead V3: flat")}
    source.not_at_hand = 1200
    store = write_store(tmp_path / "store", source)
    quarantine = pd.read_csv(tmp_path / "store" / "quarantine.csv")
    assert quarantine.values.tolist() == [["x", "lead V2: flat"], ["y", "lead V3: flat"]]
    assert summary(store) == (
        "listed: 4 ECGs of 2 patients (train 2, valid 2); 1,200 listed but not at hand; "
        "2 quarantined: 2 x lead V2: flat (or similar)"
    )


def test_an_amplitude_that_does_not_fit_is_quarantined_not_wrapped(tmp_path):
    source = listed(2)
    source.records["0"] = record(0, signal=np.full((12, 1000), 40, np.float32))
    store = write_store(tmp_path / "store", source)
    assert len(store) == 1 and store.manifest["reasons"] == {"reaches 40.0 mV: at most 32.8 fit": 1}


@pytest.mark.parametrize("workers, chunk", [(1, 2), (1, 3), (2, 3)])
def test_the_content_does_not_depend_on_workers_or_parts(tmp_path, workers, chunk):
    whole = write_store(tmp_path / "a", listed())
    cut = write_store(tmp_path / "b", listed(), workers=workers, chunk=chunk)
    assert cut.hash == whole.hash
    np.testing.assert_array_equal(cut.signals, whole.signals)
    cut.verify()


def test_a_generator_of_batches_gives_the_same_store(tmp_path):
    class Batched(Listed):
        def batches(self):
            records = list(self.records.values())
            yield records[:3]
            yield records[3:]

    batched = write_store(tmp_path / "a", Batched(listed().records), chunk=2)
    assert batched.hash == write_store(tmp_path / "b", listed()).hash


def test_an_interrupted_preparation_goes_on_where_it_stopped(tmp_path):
    class Counted(Listed):
        def __init__(self, records, fail_at):
            super().__init__(records)
            self.fail_at, self.read_names = fail_at, []

        def read(self, item):
            if item == self.fail_at:
                raise KeyboardInterrupt
            self.read_names.append(item)
            return super().read(item)

    first = Counted(listed().records, fail_at="5")
    with pytest.raises(KeyboardInterrupt):
        write_store(tmp_path / "store", first, chunk=2)
    assert not (tmp_path / "store").exists()
    again = Counted(listed().records, fail_at=None)
    store = write_store(tmp_path / "store", again, chunk=2)
    assert again.read_names == ["4", "5", "6"]
    assert store.hash == write_store(tmp_path / "other", listed()).hash
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "store"]


def test_parts_of_another_version_are_not_taken_up(tmp_path):
    source, other = listed(), listed()
    other.version = "2"
    assert shards.key_of(source, source.index()) != shards.key_of(other, other.index())


def test_a_failed_preparation_leaves_the_old_store_in_place(tmp_path):
    old = write_store(tmp_path / "store", listed(3)).hash
    broken = Listed({"0": RuntimeError("disk on fire")})
    with pytest.raises(DataError, match=r"reading record 0 failed \(RuntimeError: disk on fire\)"):
        write_store(tmp_path / "store", broken)
    assert EcgStore.open(tmp_path / "store").hash == old


def test_reuse_returns_the_store_of_the_same_source_without_reading_it(tmp_path):
    write_store(tmp_path / "store", listed(3))
    unreadable = Listed(dict.fromkeys("012", RuntimeError("was read")))
    assert len(write_store(tmp_path / "store", unreadable, reuse=True)) == 3
    unreadable.version = "2"
    with pytest.raises(DataError, match="was read"):
        write_store(tmp_path / "store", unreadable, reuse=True)


def test_a_patient_in_two_splits_is_refused(tmp_path):
    torn = Listed({"a": record(0, split="train"), "b": record(1, split="test")})
    with pytest.raises(DataError, match="patient p0 is in train and in test"):
        write_store(tmp_path / "store", torn)


def test_an_ecg_id_twice_is_refused(tmp_path):
    with pytest.raises(DataError, match="listed/0 occurs twice"):
        write_store(tmp_path / "store", Listed({"a": record(0), "b": record(0)}))


def test_a_source_without_a_usable_record_says_why(tmp_path):
    source = Listed({"a": BadRecord("lead I: flat")})
    with pytest.raises(
        DataError, match=r"none of 1 records can be used; first check a \(lead I: flat\)"
    ):
        write_store(tmp_path / "store", source)


def test_a_folder_that_is_no_store_is_never_replaced(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.tex").write_text("all of it")
    with pytest.raises(DataError, match="is not a store"):
        write_store(tmp_path / "store", listed(2))
    assert (tmp_path / "store" / "thesis.tex").read_text() == "all of it"


def test_a_missing_store_is_one_line_with_what_to_do(tmp_path):
    with pytest.raises(DataError, match="debiased-ecg prepare") as error:
        EcgStore.open(tmp_path / "nowhere")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["signals.npy", "records.parquet", "manifest.json"])
def test_a_damaged_store_is_one_line_with_what_to_do(tmp_path, name):
    write_store(tmp_path / "store", listed(3))
    path = tmp_path / "store" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="prepare it again") as error:
        EcgStore.open(tmp_path / "store")
    assert "\n" not in str(error.value)


def test_a_changed_signal_is_noticed_by_verify(tmp_path):
    store = write_store(tmp_path / "store", listed(3))
    signals = np.load(tmp_path / "store" / "signals.npy", mmap_mode="r+")
    signals[1, 4, 500] += 1
    signals.flush()
    with pytest.raises(DataError, match="changed since"):
        store.verify()

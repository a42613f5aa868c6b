"""Test that changed files are read again, and that contradictions and odd names are told."""

import os

import numpy as np
import pandas as pd
import pytest
from ecg_folders import beats, ptbxl_row, write_challenge, write_mimic, write_ptbxl, write_wfdb
from scipy.io import savemat

from ecg_lib.data import shards
from ecg_lib.data.sources.challenge import Georgia
from ecg_lib.data.sources.cpsc2018 import Cpsc2018
from ecg_lib.data.sources.ludb import Ludb
from ecg_lib.data.sources.mimic_iv_ecg import MimicIvEcg
from ecg_lib.data.sources.ptbxl import PtbXl, ecgqa_splits
from ecg_lib.data.wfdb_header import files_of
from ecg_lib.data.write_store import write_store
from ecg_lib.errors import DataError

SR, AF = "426783006", "164889003"
COARSE = beats(100)


def georgia(root, records, mv=COARSE):
    """Write records of the challenge; `records`: name -> Dx."""
    for name, dx in records.items():
        comments = ["Age: 60", "Sex: Male", f"Dx: {dx}"]
        stem = root / "training" / "georgia" / name
        write_wfdb(stem, mv, fs=100, comments=comments, suffix="mat")
    return root


class Failing(Georgia):
    """Fails on one record with an error that stops the run."""

    def read(self, item):
        if item.endswith("E5"):
            raise ValueError("unforeseen")
        return super().read(item)


def told(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_was_mended_after_a_failed_run_is_read_by_the_next_run(tmp_path):
    root = georgia(tmp_path, {f"E{k}": SR for k in range(6)})
    cut = root / "training/georgia/E0.mat"
    cut.write_bytes(cut.read_bytes()[:5000])
    with pytest.raises(DataError, match="E5"):
        write_store(tmp_path / "store", Failing(root), chunk=2)
    georgia(root, {"E0": SR, "E1": AF})
    georgia(root, {"E2": SR}, COARSE * 2)
    store = write_store(tmp_path / "store", Georgia(root), chunk=2)
    assert store.manifest["counts"]["quarantined"] == 0
    assert store.labels[1] == {"AFIB": 100.0} and store.labels[0] == {"SR": 100.0}
    np.testing.assert_allclose(store.mv(2)[0], 2 * COARSE, atol=0.002)
    assert [path.name for path in tmp_path.iterdir() if ".parts-" in path.name] == []


def test_only_parts_with_a_changed_file_are_read_again(tmp_path, monkeypatch):
    root = georgia(tmp_path, {f"E{k}": SR for k in range(6)})
    with pytest.raises(DataError):
        write_store(tmp_path / "store", Failing(root), chunk=2)
    seen = []
    read = Georgia.read
    monkeypatch.setattr(Georgia, "read", lambda self, item: seen.append(item) or read(self, item))
    header = root / "training/georgia/E2.hea"
    os.utime(header, ns=(1, header.stat().st_mtime_ns + 1))  # same size, a nanosecond later
    write_store(tmp_path / "store", Georgia(root), chunk=2)
    assert [item[-2:] for item in seen] == ["E2", "E3", "E4", "E5"]


def test_a_finished_store_is_reused_until_a_file_changes(tmp_path):
    root = georgia(tmp_path, {"E0": SR, "E1": SR})
    first = write_store(tmp_path / "store", Georgia(root), reuse=True)
    before = os.stat(first.folder / "manifest.json").st_ino
    again = write_store(tmp_path / "store", Georgia(root), reuse=True)
    assert os.stat(again.folder / "manifest.json").st_ino == before
    georgia(root, {"E1": AF})
    changed = write_store(tmp_path / "store", Georgia(root), reuse=True)
    assert changed.labels[1] == {"AFIB": 100.0} and changed.hash != first.hash


def test_a_source_that_names_no_files_keeps_its_key(tmp_path):
    class Plain:
        name, version = "plain", "1"

    assert shards.stamps_of(Plain(), [1, 2, 3], 2) == ["", ""]
    assert shards.key_of(Plain(), [1], ["", ""]) == shards.key_of(Plain(), [1])


def test_segments_and_files_of_single_leads_count_as_files_of_a_record(tmp_path):
    (tmp_path / "a.hea").write_text("a 2 500 10\na_0.dat 16 1/mV\na_1.dat 16 1/mV\n")
    (tmp_path / "b.hea").write_text("b/2 12 500 20\nb_1 10\n~ 10\n")
    assert [p.name for p in files_of(tmp_path / "a")] == ["a.hea", "a_0.dat", "a_1.dat"]
    assert [p.name for p in files_of(tmp_path / "b")] == ["b.hea", "b_1.hea", "b_1.dat", "b_1.mat"]
    assert files_of(tmp_path / "c") == []


def test_every_source_that_reads_files_names_those_of_each_item(tmp_path):
    ptbxl = PtbXl(write_ptbxl(tmp_path / "p", [ptbxl_row(1, 1)]), intervals=False)
    mimic = MimicIvEcg(write_mimic(tmp_path / "m", {1: ["Sinus rhythm today"]}))
    write_wfdb(tmp_path / "l/data/1", COARSE, fs=100)
    (tmp_path / "l/ludb.csv").write_text("ID,Sex,Age,Rhythms\n1,F,60,Sinus rhythm\n")
    cpsc(tmp_path / "c", {"TrainingSet1/A0001": 1})
    for source in (ptbxl, mimic, Ludb(tmp_path / "l"), Cpsc2018(tmp_path / "c")):
        (item,) = source.index()
        files = source.files(item)
        assert files and all(path.is_file() for path in files)


# -- contradictions ------------------------------------------------------------------------------


def cpsc(root, files, rows=("A0001,2,,",), table="REFERENCE.csv"):
    """Write CPSC 2018; `files`: folder/name -> amplitude."""
    for name, scale in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        ecg = {"sex": "Male", "age": 50.0, "data": scale * beats(500)}
        savemat(root / f"{name}.mat", {"ECG": ecg})
    head = "Recording,First_label,Second_label,Third_label"
    (root / table).write_text("\n".join([head, *rows]) + "\n")
    return root


def test_one_name_in_two_folders_of_cpsc_is_refused(tmp_path):
    cpsc(tmp_path, {"TrainingSet1/A0001": 1, "ValidationSet/A0001": 2.5})
    with pytest.raises(DataError) as error:
        Cpsc2018(tmp_path).index()
    assert "TrainingSet1" in told(error) and "ValidationSet" in told(error)


def test_two_tables_of_cpsc_are_refused(tmp_path):
    cpsc(tmp_path, {"TrainingSet1/A0001": 1})
    cpsc(tmp_path, {}, ["A0001,5,,"], "REFERENCE (1).csv")
    with pytest.raises(DataError) as error:
        Cpsc2018(tmp_path).index()
    assert "REFERENCE (1).csv" in told(error) and "REFERENCE.csv are both" in told(error)


def quarantined(source, folder):
    """Write a store; return ECGs taken and, of those left out, the reasons."""
    store = write_store(folder, source)
    left = pd.read_csv(store.folder / "quarantine.csv")
    return len(store.records), dict(zip(left["record"], left["reason"], strict=True))


def test_contradicting_rows_of_cpsc_cost_their_record_and_equal_ones_are_taken_once(tmp_path):
    files = {"TrainingSet1/A0001": 1, "TrainingSet1/A0002": 1}
    rows = ["A0001,1,,", "A0001,2,,", "A0002,2,,", "A0002,2,,", ",1,,", ",2,,"]
    taken, left = quarantined(Cpsc2018(cpsc(tmp_path / "c", files, rows)), tmp_path / "s")
    assert taken == 1 and list(left) == ["cpsc2018/A0001"]
    assert "REFERENCE*.csv with different entries of First_label" in left["cpsc2018/A0001"]


def test_a_study_twice_in_mimics_tables_costs_itself_alone(tmp_path):
    root = write_mimic(tmp_path / "m", {n: ["Sinus rhythm today"] for n in (1, 2, 3)})
    path = root / "machine_measurements.csv"
    table = pd.read_csv(path)
    pd.concat([table, table[:1]]).to_csv(path, index=False)
    assert quarantined(MimicIvEcg(root), tmp_path / "s1") == (3, {})
    pd.concat([table, table[:1].assign(rr_interval=700)]).to_csv(path, index=False)
    taken, left = quarantined(MimicIvEcg(root), tmp_path / "s2")
    assert taken == 2 and list(left) == ["mimic-iv-ecg/1"]
    assert "machine_measurements.csv with different entries of rr_interval" in str(left)
    table.to_csv(path, index=False)
    records = pd.read_csv(root / "record_list.csv")
    records.loc[1, "path"] = records["path"][0]  # one recording under two studies
    records.to_csv(root / "record_list.csv", index=False)
    taken, left = quarantined(MimicIvEcg(root), tmp_path / "s3")
    assert taken == 1 and sorted(left) == ["mimic-iv-ecg/1", "mimic-iv-ecg/2"]
    assert "record_list.csv with different entries of path" in str(left)


def test_contradicting_rows_of_ptbxl_and_ludb_cost_their_record(tmp_path):
    rows = [ptbxl_row(1, 1), ptbxl_row(2, 2)]
    root = write_ptbxl(tmp_path / "p", [*rows, ptbxl_row(1, 1)])
    assert len(PtbXl(root, intervals=False).index()) == 2
    write_ptbxl(root, [*rows, ptbxl_row(1, 1, strat_fold=10)])
    taken, left = quarantined(PtbXl(root, intervals=False), tmp_path / "s1")
    assert taken == 1 and "different entries of strat_fold" in left["ptbxl/00001"]
    for name in "12":
        write_wfdb(tmp_path / f"l/data/{name}", COARSE, fs=100)
    (tmp_path / "l/ludb.csv").write_text(
        "ID,Sex,Age,Rhythms\n1,F,60,Sinus rhythm\n1,M,60,AF\n2,F,60,Sinus rhythm\n"
    )
    taken, left = quarantined(Ludb(tmp_path / "l"), tmp_path / "s2")
    assert taken == 1 and "different entries of Sex" in left["ludb/1"]


def test_one_number_in_two_folders_of_ptbxl_is_refused(tmp_path):
    root = write_ptbxl(tmp_path, [ptbxl_row(1, 1)])
    write_wfdb(root / "records100/01000/00001_lr", COARSE, fs=100)
    with pytest.raises(DataError) as error:
        PtbXl(root, intervals=False).index()
    assert "00000/00001_lr" in told(error) and "01000/00001_lr" in told(error)


def test_one_name_in_two_folders_of_the_challenge_is_refused(tmp_path):
    write_challenge(tmp_path, {"georgia/g1/E1": SR, "georgia/g2/E1": AF})
    with pytest.raises(DataError) as error:
        Georgia(tmp_path).index()
    assert "georgia/g1/E1 and georgia/g2/E1 are both record georgia/E1" in told(error)


def test_an_ecg_in_two_splits_of_ecgqa_is_refused(tmp_path):
    for split, listed in (("train", [4]), ("valid", [3]), ("test", [4])):
        (tmp_path / f"{split}_ecgs.tsv").write_text("".join(f"0\t{i}\n" for i in listed))
    with pytest.raises(DataError) as error:
        ecgqa_splits(tmp_path)
    assert "lists ECG 4, which train_ecgs.tsv lists too" in told(error)


# -- names that look like something else -----------------------------------------------------------


@pytest.mark.parametrize("name", ["a::b", "[ab]*", "{label}", "-x", "a%20b", "s3", "#1 <b>"])
def test_a_folder_of_any_name_is_only_a_folder(tmp_path, name):
    root = georgia(tmp_path / name, {"E0": SR})
    store = write_store(tmp_path / "out" / name, Georgia(root))
    assert store.records["ecg_id"].tolist() == ["georgia/E0"]


def test_a_store_whose_name_is_a_pattern_leaves_the_parts_of_others_alone(tmp_path):
    (tmp_path / ".other.parts-1").mkdir()
    write_store(tmp_path / "*", Georgia(georgia(tmp_path / "in", {"E0": SR})))
    assert (tmp_path / ".other.parts-1").is_dir()

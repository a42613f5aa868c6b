"""Test that one odd token, cell or row costs itself alone, and makes no record a false negative."""

import math

import numpy as np
import pandas as pd
import pytest
from ecg_folders import beats, ptbxl_row, write_challenge, write_mimic, write_ptbxl, write_wfdb
from scipy.io import savemat

from ecg_lib.data.sources.challenge import Challenge
from ecg_lib.data.sources.cpsc2018 import Cpsc2018
from ecg_lib.data.sources.ludb import Ludb
from ecg_lib.data.sources.mimic_iv_ecg import MimicIvEcg
from ecg_lib.data.sources.ptbxl import PtbXl, ecgqa_splits
from ecg_lib.data.store import summary
from ecg_lib.data.wfdb_files import age_of, sex_of
from ecg_lib.data.write_store import write_store
from ecg_lib.errors import DataError
from ecg_lib.signal.leads import LEADS


def reasons(store):
    table = pd.read_csv(store.folder / "quarantine.csv")
    return dict(zip(table.record, table.reason, strict=True))


def test_each_token_of_dx_is_looked_up_for_itself(tmp_path):
    two = {"AFIB": 100, "RBBB": 100}
    expected = {
        "164889003": {"AFIB": 100},
        "164889003,": {"AFIB": 100},
        "164889003,,59118001": two,
        "164889003,-": {"AFIB": 100},
        "164889003,AF": {"AFIB": 100},
        "164889003;59118001": two,
        "164889003 59118001": two,
        "[164889003, 59118001]": two,
        "164889003.0,59118001.0": two,
        "RBBB, 164889003": two,
        "2": {"AFIB": 100},
        "164889003,6180003": {"AFIB": 100},
        "426627000": {},  # bradycardia of unstated origin: understood, but no finding
    }
    records = {f"georgia/E{n:02d}": dx for n, dx in enumerate(expected)}
    store = write_store(tmp_path / "s", Challenge(write_challenge(tmp_path / "c", records)))
    assert list(store.labels) == list(expected.values())
    assert [known.get("unread") for known in store.attributes[-2:]] == [["Dx: 6180003"], None]


def test_a_record_without_any_known_code_is_quarantined_and_odd_codes_are_counted(tmp_path):
    codes = ["426783006", "251238007,6180003", "Unknown", "164889003,XYZ", "426783006,xyz"]
    records = {f"georgia/E{n}": dx for n, dx in enumerate(codes)}
    store = write_store(tmp_path / "s", Challenge(write_challenge(tmp_path / "c", records)))
    assert reasons(store) == {
        "georgia/E1": "Dx: no known code (251238007, 6180003)",
        "georgia/E2": "Dx is empty",
    }
    told = store.manifest["not_understood"]["unread"]
    assert told == {"ecgs": 2, "most_frequent": {"Dx: XYZ": 1, "Dx: xyz": 1}}
    assert "2 with entries that could not be read (Dx: XYZ)" in summary(store)
    assert "\n" not in summary(store)


def test_a_store_in_which_all_is_understood_says_nothing_of_it(tmp_path):
    root = write_challenge(tmp_path / "c", {"georgia/E1": "426783006"})
    store = write_store(tmp_path / "s", Challenge(root))
    assert "not_understood" not in store.manifest and "could not be read" not in summary(store)


@pytest.mark.parametrize("text", [">89y", "> 89 years", ">89", ">= 90", "90+", " 90 ", "090Y", 90])
def test_an_age_in_words_is_read(text):
    assert age_of(text) == 90


@pytest.mark.parametrize("text", [">", ">90+", "6M", "-1", "150", "300", "NaN", "", "old", "6 9"])
def test_text_that_is_no_age_is_unknown(text):
    assert math.isnan(age_of(text))


def test_a_sex_is_a_whole_word():
    words = {"Female": "F", "m": "M", "MALE": "M", "w": "F", "Missing": "", "Mixed": "", "": ""}
    assert {word: sex_of(word) for word in words} == words


def test_an_odd_age_costs_itself_and_is_counted(tmp_path):
    root = write_challenge(tmp_path / "c", {f"georgia/E{n}": "426783006" for n in range(3)})
    for name, age in (("E1", ">89y"), ("E2", "about fifty")):
        header = root / f"training/georgia/{name}.hea"
        header.write_text(header.read_text().replace("Age: 74", f"Age: {age}"))
    store = write_store(tmp_path / "s", Challenge(root))
    np.testing.assert_array_equal(store.records.age, [74, 90, np.nan])
    assert store.attributes[2] == {"unread": ["Age: about fifty"]}


def ptbxl(tmp_path, *rows):
    root = write_ptbxl(tmp_path / "ptbxl", list(rows))
    return write_store(tmp_path / "s", PtbXl(root, intervals=False))


def test_a_letter_in_the_column_of_sexes_or_ages_costs_one_cell(tmp_path):
    rows = [ptbxl_row(1, 1, sex=0), ptbxl_row(2, 2, sex=1), ptbxl_row(3, 3, sex="F")]
    rows += [ptbxl_row(4, 4, age=">89", sex="?"), ptbxl_row(5, 5, age="x"), ptbxl_row(6, 6, age=-1)]
    rows += [ptbxl_row(7, 7, age=150), ptbxl_row(8, 8, age=300.0)]
    store = ptbxl(tmp_path, *rows)
    assert list(store.records.sex) == ["M", "F", "F", "", *"FFFF"]
    ages = [56, 56, 56, 90, np.nan, np.nan, np.nan, 90]
    np.testing.assert_array_equal(store.records.age, ages)
    assert store.manifest["not_understood"]["unread"]["ecgs"] == 3


def test_a_row_without_patient_or_fold_costs_itself(tmp_path):
    rows = [ptbxl_row(1, 1), ptbxl_row(2, 2) | {"patient_id": None}]
    rows += [ptbxl_row(3, 3, strat_fold=None), ptbxl_row(4, 4, strat_fold=11)]
    rows += [ptbxl_row(5, 5, strat_fold="x"), ptbxl_row(6, 6) | {"patient_id": "x"}]
    store = ptbxl(tmp_path, *rows)
    assert list(store.records.ecg_id) == ["ptbxl/00001"]
    no = "{} is missing in ptbxl_database.csv or is no number".format
    assert reasons(store) == {
        **dict.fromkeys(["ptbxl/00002", "ptbxl/00006"], no("patient_id")),
        **dict.fromkeys(["ptbxl/00003", "ptbxl/00004", "ptbxl/00005"], no("strat_fold")),
    }


def test_ptbxl_labels_that_cannot_be_read_make_no_negative(tmp_path):
    codes = ["{}", "{'ODD': 100.0}", "{'AFIB': 'high', 'SR': 0.0}", "{'AFIB': 1000.0}", "oops"]
    store = ptbxl(tmp_path, *[ptbxl_row(n, n, scp_codes=text) for n, text in enumerate(codes, 1)])
    assert list(store.labels) == [{"SR": 0.0}]
    assert store.attributes[0]["unread"] == ["scp_codes: AFIB high"]
    assert reasons(store) == {
        "ptbxl/00001": "scp_codes is empty",
        "ptbxl/00002": "scp_codes: no known code (ODD)",
        "ptbxl/00004": "scp_codes: no known code (AFIB)",
        "ptbxl/00005": "scp_codes cannot be read",
    }


def test_a_letter_among_the_validated_does_not_validate_all(tmp_path):
    rows = [ptbxl_row(1, 1, validated_by_human=False), ptbxl_row(2, 2, validated_by_human="x")]
    rows += [ptbxl_row(3, 3, validated_by_human=True)]
    validated = [known["validated_by_human"] for known in ptbxl(tmp_path, *rows).attributes]
    assert validated == [False, False, True]


def test_an_unknown_axis_or_stage_is_counted_and_the_labels_stay(tmp_path):
    store = ptbxl(tmp_path, ptbxl_row(1, 1, heart_axis="XYZ", infarction_stadium1="Stadium IX"))
    assert store.labels[0] == {"NORM": 100.0, "SR": 0.0}
    unread = store.attributes[0]["unread"]
    assert sorted(unread) == ["heart_axis: XYZ", "infarction stage: Stadium IX"]


def test_an_ecg_listed_twice_is_taken_once_or_quarantined(tmp_path):
    rows = [ptbxl_row(1, 1), ptbxl_row(1, 1), ptbxl_row(2, 2), ptbxl_row(2, 2, sex=0)]
    store = ptbxl(tmp_path, *rows)
    assert list(store.records.ecg_id) == ["ptbxl/00001"]
    assert list(reasons(store)) == ["ptbxl/00002"] and "more than once" in str(reasons(store))


def test_an_odd_line_of_ecgqas_splits_is_named_for_it_might_leak(tmp_path):
    for split in ("train", "valid", "test"):
        (tmp_path / f"{split}_ecgs.tsv").write_text({"train": "0\t1\n1\tx\n"}.get(split, "0\t2\n"))
    with pytest.raises(DataError, match="line 2 ends in 'x'"):
        ecgqa_splits(tmp_path)
    (tmp_path / "train_ecgs.tsv").write_text("0\t1\n")
    with pytest.raises(DataError, match="lists ECG 2, which valid_ecgs.tsv lists too"):
        ecgqa_splits(tmp_path)


def test_a_study_listed_twice_is_taken_once_or_quarantined(tmp_path):
    root = write_mimic(tmp_path / "m", {n: ["Sinus rhythm", "Normal ECG"] for n in (1, 2, 3, 4)})
    for name, change in (("machine_measurements.csv", "report_0"), ("record_list.csv", "path")):
        table = pd.read_csv(root / name, dtype=str)
        same, other = table[table.study_id == "1"], table[table.study_id == "23"[change == "path"]]
        table = pd.concat([table, same, other.assign(**{change: "another"})])
        table.to_csv(root / name, index=False)
    store = write_store(tmp_path / "s", MimicIvEcg(root))
    assert list(store.records.ecg_id) == ["mimic-iv-ecg/1", "mimic-iv-ecg/4"]
    where = {name: reason.split()[5] for name, reason in reasons(store).items()}
    assert where == {
        "mimic-iv-ecg/2": "machine_measurements.csv",
        "mimic-iv-ecg/3": "record_list.csv",
    }


def test_a_letter_in_a_machine_measurement_costs_one_cell(tmp_path):
    root = write_mimic(tmp_path / "m", {n: ["Sinus rhythm", "Normal ECG"] for n in (1, 2, 3)})
    path = root / "machine_measurements.csv"
    table = pd.read_csv(path, dtype=str)
    table.loc[1, "t_end"] = "x"
    table.to_csv(path, index=False)
    path = root / "record_list.csv"
    table = pd.read_csv(path, dtype=str)
    table.loc[2, "subject_id"] = ""
    table.to_csv(path, index=False)
    store = write_store(tmp_path / "s", MimicIvEcg(root))
    first, second = (known["intervals"] for known in store.attributes)
    assert set(first) - set(second) == {"qt interval", "qt corrected"}
    assert store.attributes[1]["unread"] == ["t_end: x"]
    assert reasons(store) == {"mimic-iv-ecg/3": "no subject_id in record_list.csv"}


def test_a_report_of_which_nothing_is_understood_makes_no_negative(tmp_path):
    reports = {1: ["Sinus rhythm", "Osborn wave"], 2: ["Osborn wave seen here"]}
    store = write_store(tmp_path / "s", MimicIvEcg(write_mimic(tmp_path / "m", reports)))
    assert store.attributes[0]["unread"] == ["report: Osborn wave"]
    assert reasons(store) == {"mimic-iv-ecg/2": "no statement of the report is understood"}


def test_cpsc_classes_are_read_each_for_itself(tmp_path):
    root = tmp_path / "cpsc"
    (root / "TrainingSet1").mkdir(parents=True)
    lines = ["2,,", "2.0,8,", "AF,x,", "10,,", "x,,"]
    for n, _ in enumerate(lines):
        ecg = {"sex": "Male", "age": [49, ">89"][n == 1], "data": beats(500, seconds=10)}
        savemat(root / f"TrainingSet1/A{n:04d}.mat", {"ECG": ecg})
    head = "Recording,First_label,Second_label,Third_label\n"
    body = "".join(f"A{n:04d},{line}\n" for n, line in enumerate(lines))
    (root / "REFERENCE.csv").write_text(head + body)
    store = write_store(tmp_path / "s", Cpsc2018(root))
    assert list(store.labels) == [{"AFIB": 100}, {"AFIB": 100, "STD_": 100}, {"AFIB": 100}]
    assert list(store.records.age) == [49, 90, 49]
    assert reasons(store) == {
        "cpsc2018/A0003": "REFERENCE: no known code (10)",
        "cpsc2018/A0004": "REFERENCE: no known code (x)",
    }


def test_ludb_lines_are_read_each_for_itself_and_rows_once(tmp_path):
    root = tmp_path / "ludb"
    for n in (1, 2, 3):
        write_wfdb(root / f"data/{n}", beats(500), [name.lower() for name in LEADS])
    text = 'ID,Sex,Age,Rhythms\n1,M,old,"Sinus rhythm\nOdd rhythm"\n2,M,40,Odd rhythm\n'
    text += "3,M,40,Sinus rhythm\n3,M,40,Sinus rhythm\n"
    (root / "ludb.csv").write_text(text)
    store = write_store(tmp_path / "s", Ludb(root))
    assert list(store.labels) == [{"SR": 100}, {"SR": 100}]
    assert store.attributes[0]["unread"] == ["ludb.csv: Odd rhythm", "Age: old"]
    assert reasons(store) == {"ludb/2": "ludb.csv: no known code (Odd rhythm)"}

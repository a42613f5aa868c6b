"""Test reading LUDB, the 2021 challenge and CPSC 2018, and the label maps they use."""

import numpy as np
import pandas as pd
import pytest
from ecg_folders import beats, write_challenge, write_wfdb
from scipy.io import savemat

from ecg_lib.data.prepare import build_source, find_cohort, prepare, signatures
from ecg_lib.data.sources.challenge import Challenge
from ecg_lib.data.sources.cpsc2018 import Cpsc2018
from ecg_lib.data.sources.ludb import Ludb
from ecg_lib.data.write_store import write_store
from ecg_lib.errors import DataError
from ecg_lib.knowledge import findings
from ecg_lib.knowledge.findings import FINDINGS, name_of
from ecg_lib.knowledge.label_maps import label_map, translate
from ecg_lib.knowledge.zero_shot_labels import (
    DATASETS,
    zero_shot_labels,
    zero_shot_near,
    zero_shot_table,
    zero_shot_targets,
)
from ecg_lib.paths import PAPER_RESULTS
from ecg_lib.signal.leads import LEADS


def reasons(store):
    table = pd.read_csv(store.folder / "quarantine.csv")
    return dict(zip(table.record, table.reason, strict=True))


def test_findings_have_one_name_each():
    assert len({name_of(code) for code in FINDINGS.index}) == len(FINDINGS)
    assert name_of("AFIB") == "atrial fibrillation" and FINDINGS.at["NDT", "kinds"] == (
        "diagnostic",
        "form",
    )


@pytest.mark.parametrize(
    "source", ["snomed", "cpsc", "ludb", "mimic_iv_ecg", "ptbxl_stage", "ptbxl_axis"]
)
def test_every_map_speaks_in_findings_or_attributes(source):
    for meanings in label_map(source).values():
        for code, attribute in meanings:
            assert code in FINDINGS.index or not code
            assert not attribute or attribute.partition(": ")[2]


def test_an_unknown_source_of_labels_is_refused():
    with pytest.raises(DataError, match="no row with source 'icd10'"):
        label_map("icd10")


def test_codes_without_a_finding_are_kept_as_unmapped():
    found = translate("snomed", ["164889003", "39732003", "426627000", "1"])
    assert found.labels == {"AFIB": 100}
    assert found.attributes == {
        "heart_axis": "left axis deviation",
        "unmapped": ["426627000", "1"],
    }


def test_unspecified_and_complete_blocks_stay_apart_but_share_the_zero_shot_label():
    assert translate("snomed", ["164909002", "733534002"]).labels == {"LBBB": 100, "CLBBB": 100}
    assert zero_shot_labels()["LBBB"] == ["CLBBB", "LBBB"]


def test_zero_shot_labels_and_their_blanks_are_those_of_the_papers_table():
    paper = pd.read_csv(PAPER_RESULTS / "table4_zero_shot_auc.csv")
    paper = paper[paper.method == "CLIP"].set_index("dataset").drop(columns="method")
    assert list(zero_shot_labels()) == list(paper.columns)
    examples = {
        "PTB-XL": "ptbxl/1",
        "LUDB": "ludb/1",
        "Shaoxing": "ningbo/JS1",
        "CPSC": "cpsc_2018/A1",
    }
    for cohort, ecg_id in examples.items():
        records = pd.DataFrame({"ecg_id": [ecg_id], "labels": [{"SR": 100.0}]})
        blank = zero_shot_targets(records).isna().iloc[0]
        assert list(blank) == list(paper.loc[cohort].isna()), cohort


def test_every_label_of_every_data_set_has_codes_and_a_source_or_is_blank():
    table, sets = zero_shot_table(), {"PTB-XL", "LUDB", "Shaoxing", "CPSC"}
    assert set(table["dataset"]) == sets == set(DATASETS.values())
    assert not (table["source"].str.strip() == "").any()
    assert not table.duplicated(["label", "dataset", "system", "their_code"]).any()
    for label in zero_shot_labels():
        for dataset in sets:
            roles = set(table[(table.label == label) & (table.dataset == dataset)]["role"])
            assert roles == {"blank"} or ("counts" in roles and "blank" not in roles)


def test_a_code_is_not_taken_for_a_finding_that_says_more_or_less():
    """Acute ischaemia is not "non-specific"; LVOLT covers limb and chest leads, not limb alone."""
    assert translate("snomed", ["413444003"]).labels == {}
    assert translate("mimic_iv_ecg", ["low limb lead voltage"]).labels == {}
    assert translate("mimic_iv_ecg", ["low qrs voltages"]).labels == {"LVOLT": 100}


def test_zero_shot_codes_mean_what_the_label_maps_say():
    for row in zero_shot_table().itertuples():
        if row.system == "scp":
            assert row.their_code == row.code
        elif row.system in ("snomed", "cpsc", "ludb"):
            assert (row.code, "") in label_map(row.system)[row.their_code.lower()], row
        else:
            assert row.system == "acronym" or row.role == "blank"


def test_incomplete_blocks_are_told_apart_from_the_label():
    labels = [
        {"ILBBB": 100.0},
        {"CLBBB": 100.0},
        {"ILBBB": 100.0, "CLBBB": 100.0},
        {"IRBBB": 35.0},
        {"LAFB": 100.0},
    ]
    records = pd.DataFrame({"ecg_id": [f"ptbxl/{i}" for i in range(5)], "labels": labels})
    assert list(zero_shot_targets(records)["LBBB"]) == [False, True, True, False, False]
    assert list(zero_shot_near(records)["LBBB"]) == [True, False, False, False, False]
    assert not zero_shot_near(records)["RBBB"].any()
    cpsc = records.assign(ecg_id=[f"cpsc_2018/A{i}" for i in range(5)])
    assert zero_shot_near(cpsc)["LVH"].isna().all()


def test_a_damaged_zero_shot_table_names_the_line(tmp_path, monkeypatch):
    text = (findings._TABLES / "zero_shot_labels.csv").read_text()
    monkeypatch.setattr(findings, "_TABLES", tmp_path)
    for wrong, message in (
        (text.replace("AFIB,AFIB,counts", "AFIB,AFIB,yes", 1), "AF, PTB-XL"),
        (text.replace("AFIB,AFIB,counts", "AFIB,XYZ,counts", 1), "'XYZ'"),
    ):
        (tmp_path / "zero_shot_labels.csv").write_text(wrong)
        with pytest.raises(DataError, match=message):
            zero_shot_table.__wrapped__()


def test_zero_shot_targets_count_stated_and_likely_labels():
    labels = [{"AFIB": 0.0}, {"AFIB": 100.0}, {"AFIB": 35.0}, {"CLBBB": 100.0}, {}]
    records = pd.DataFrame({"ecg_id": [f"ptbxl/{i}" for i in range(5)], "labels": labels})
    targets = zero_shot_targets(records)
    assert list(targets["AF"]) == [True, True, False, False, False]
    assert list(targets["LBBB"]) == [False, False, False, True, False]
    assert targets["AF"].to_numpy(bool).sum() == 2


def test_a_challenge_record_is_read_from_header_and_mat(tmp_path):
    records = {"georgia/g1/E00001": "164889003,164873001", "ningbo/g1/JS00001": "426177001"}
    store = write_store(tmp_path / "s", Challenge(write_challenge(tmp_path / "c", records)))
    record = store.record("georgia/E00001")
    assert record.labels == {"AFIB": 100, "LVH": 100} and record.split == "test"
    assert (record.age, record.sex) == (74, "M")
    np.testing.assert_allclose(record.signal[:6], beats(100)[:6], atol=0.02)
    assert list(store.records.ecg_id) == ["georgia/E00001", "ningbo/JS00001"]


def test_a_record_without_diagnosis_is_quarantined_for_it_is_no_negative(tmp_path):
    records = {"georgia/E1": "164889003", "georgia/E2": "", "georgia/E3": "Unknown"}
    root = write_challenge(tmp_path / "c", records)
    (root / "training/georgia/E4.mat").write_bytes(bytes(100))
    store = write_store(tmp_path / "s", Challenge(root))
    assert reasons(store) == {
        "georgia/E2": "Dx is empty",
        "georgia/E3": "Dx is empty",
        "georgia/E4": "no header file",
    }


def test_class_names_of_early_releases_are_understood(tmp_path):
    root = write_challenge(tmp_path / "c", {"cpsc_2018/A0001": "RBBB,AF"})
    store = write_store(tmp_path / "s", build_source("cpsc", root))
    assert store.labels[0] == {"RBBB": 100, "AFIB": 100}


def test_an_absent_challenge_source_is_named_with_those_that_are_there(tmp_path):
    root = write_challenge(tmp_path / "c", {"ningbo/JS1": "426177001"})
    with pytest.raises(DataError, match="choose from ningbo"):
        Challenge(root, sources=("ningbo", "georgia"))
    with pytest.raises(DataError, match="no training/georgia in"):
        Challenge(root, sources=("georgia",))


def test_ludb_cells_are_read_line_by_line_and_whole(tmp_path):
    root = tmp_path / "ludb"
    write_wfdb(root / "data/1", beats(500), [name.lower() for name in LEADS])
    text = (
        "ID,Sex,Age,Rhythms,Electric axis of the heart,Conduction abnormalities,Hypertrophies\n"
        '1,"F\n",">89\n",Sinus rhythm,Electric axis of the heart: horizontal,'
        '"Incomplete right bundle branch block\nI degree AV block",'
        '"Left ventricular hypertrophy\n"\n'
        "2,M,40,Sinus rhythm,,,\n"
    )
    (root / "ludb.csv").write_text(text)
    store = write_store(tmp_path / "s", Ludb(root))
    record = store.record("ludb/1")
    assert set(record.labels) == {"SR", "IRBBB", "1AVB", "LVH"}
    assert record.attributes == {"heart_axis": "normal heart axis"}
    assert (record.age, record.sex, record.split) == (90, "F", "test")
    assert store.manifest["counts"]["not_at_hand"] == 1


def test_cpsc_2018_native_files_are_read(tmp_path):
    root = tmp_path / "cpsc"
    (root / "TrainingSet1").mkdir(parents=True)
    ecg = {"sex": "Female", "age": 49, "data": beats(500, seconds=12)}
    savemat(root / "TrainingSet1/A0001.mat", {"ECG": ecg})
    savemat(root / "TrainingSet1/A0002.mat", {"ECG": ecg | {"data": beats(500, seconds=6)}})
    (root / "TrainingSet1/A0003.mat").write_bytes(b"cut off")
    rows = [[f"A{i:04d}", label, 8, None] for i, label in enumerate([2, 1, 5, 7], 1)]
    columns = ["Recording", "First_label", "Second_label", "Third_label"]
    pd.DataFrame(rows, columns=columns).to_csv(root / "REFERENCE.csv", index=True)
    store = write_store(tmp_path / "s", Cpsc2018(root))
    record = store.record("cpsc2018/A0001")
    assert record.labels == {"AFIB": 100, "STD_": 100} and (record.age, record.sex) == (49, "F")
    assert reasons(store) == {
        "cpsc2018/A0002": "6.0 s long, 10 s needed",
        "cpsc2018/A0003": ".mat file truncated or without the struct ECG",
    }
    assert store.manifest["counts"]["not_at_hand"] == 1


@pytest.mark.parametrize("name", sorted(set(signatures()) - {"ecgqa"}))
def test_every_cohort_tells_in_one_line_what_it_looked_for(tmp_path, name):
    with pytest.raises(DataError, match="give the folder") as error:
        prepare(name, tmp_path, tmp_path / "store")
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(DataError, match="needs data.root"):
        build_source(name, None)


def test_an_unknown_cohort_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(DataError, match="choose one of challenge, cpsc"):
        build_source("ptb", tmp_path)


def test_two_candidates_for_a_cohort_are_both_named(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ludb.csv").write_text("ID\n")
    with pytest.raises(DataError, match="name one"):
        find_cohort(tmp_path, "ludb")


def test_real_ludb_has_its_published_rhythms(real_data):
    source = Ludb(find_cohort(real_data, "ludb"))
    labels = pd.Series([list(source.read(item).labels) for item in source.index()]).explode()
    counts = labels.value_counts()
    assert {code: counts[code] for code in ("SR", "SBRAD", "AFIB", "STACH", "AFLT")} == {
        "SR": 143,
        "SBRAD": 25,
        "AFIB": 15,
        "STACH": 4,
        "AFLT": 3,
    }


def test_real_challenge_records_are_kept_or_quarantined_with_a_reason(real_data, tmp_path):
    store = prepare("challenge", real_data, tmp_path / "s")
    assert len(store) + len(reasons(store)) == 103
    assert sum(reason == "Dx is empty" for reason in reasons(store).values()) == 15
    assert (store.labels.map(len) > 0).mean() > 0.9


def test_real_cpsc_2018_files_agree_with_their_reference(real_data, tmp_path):
    store = prepare("cpsc2018", real_data, tmp_path / "s")
    assert list(store.records.ecg_id) == [f"cpsc2018/A{i}" for i in range(1980, 1990)]
    table = pd.read_csv(find_cohort(real_data, "cpsc2018") / "REFERENCE_training_with_text.csv")
    first = table.set_index("Recording").First_label
    for ecg_id, stated in zip(store.records.ecg_id, store.labels, strict=True):
        ((code, _),) = label_map("cpsc")[str(first[ecg_id.partition("/")[2]])]
        assert code in stated


def test_real_records_of_each_data_set_have_zero_shot_labels(real_data, tmp_path):
    few = {"ludb": 200, "cpsc": 10, "shaoxing": 19}
    for name, n in few.items():
        store = prepare(name, real_data, tmp_path / name)
        targets = zero_shot_targets(store.records)
        assert len(store) == n and set(store.records.ecg_id.str.partition("/")[0]) <= set(DATASETS)
        assert targets.any(axis=1).sum() > n / 3, name
        assert targets.isna().any(axis=1).all() == (name != "ludb")
        if name == "ludb":  # 4 complete blocks on each side; 6 incomplete left, 29 right
            blocks = ["LBBB", "RBBB"]
            assert targets[blocks].sum().tolist() == [4, 4]
            assert zero_shot_near(store.records)[blocks].sum().tolist() == [6, 29]

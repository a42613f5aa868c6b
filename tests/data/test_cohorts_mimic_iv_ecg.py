"""Test reading MIMIC-IV-ECG: reports, the labels read from them, splits and measurements."""

import numpy as np
import pytest
from ecg_folders import beats, write_mimic

from ecg_lib.data.sources.mimic_iv_ecg import MimicIvEcg, clean_statements, read_findings, split_of
from ecg_lib.data.write_store import write_store
from ecg_lib.errors import DataError


def test_a_study_becomes_a_record(tmp_path):
    statements = ["Sinus rhythm", "Possible left ventricular hypertrophy.", "Abnormal EKG"]
    root = write_mimic(tmp_path / "mimic", {40689238: statements})
    assert (root / "files/p1000/p10000032/s40689238/40689238.hea").is_file()
    record = write_store(tmp_path / "store", MimicIvEcg(root)).record("mimic-iv-ecg/40689238")
    assert record.patient_id == "10000032"
    assert record.recorded_at == "2180-07-23T08:40:00"
    assert record.report == "Sinus rhythm. Possible left ventricular hypertrophy. Abnormal ECG."
    assert record.labels == {"SR": 100.0, "LVH": 50.0}
    assert record.attributes["heart_axis"] == "left axis deviation"
    assert record.attributes["intervals"] == {
        "rr interval": 0.8,
        "p duration": 0.1,
        "pr interval": 0.16,
        "qrs duration": 0.09,
        "qt interval": 0.4,
        "qt corrected": 0.4472,
    }


def test_its_other_lead_order_is_read_by_name(tmp_path):
    root = write_mimic(tmp_path / "mimic", {40689238: ["Sinus rhythm", "Normal ECG"]})
    signal = write_store(tmp_path / "store", MimicIvEcg(root)).mv(0)[0]
    np.testing.assert_allclose(signal[:6], beats(100)[:6], atol=0.02)


def test_empty_and_tiny_reports_are_dropped_and_absent_files_counted(tmp_path):
    reports = {1: ["Sinus rhythm", "Normal ECG"], 2: [], 3: ["Abnormal ECG"], 4: ["Sinus rhythm"]}
    root = write_mimic(tmp_path / "mimic", reports, absent=(4,))
    store = write_store(tmp_path / "store", MimicIvEcg(root))
    assert list(store.records.ecg_id) == ["mimic-iv-ecg/1"]
    assert store.manifest["reasons"] == {"report under three words": 2}
    assert store.manifest["counts"]["not_at_hand"] == 1


@pytest.mark.parametrize(
    "statement, labels",
    [
        ("Atrial fibrillation with rapid ventricular response", {"AFIB": 100}),
        ("Incomplete right bundle branch block", {"IRBBB": 100}),
        ("RBBB with left anterior fascicular block", {"RBBB": 100, "LAFB": 100}),
        ("Sinus rhythm with PVC(s)", {"SR": 100, "PVC": 100}),
        ("Cannot rule out anterior infarct - age undetermined", {"AMI": 50}),
        ("Lateral ST-T changes may be due to myocardial ischemia", {"NST_": 100, "ISC_": 50}),
        ("No evidence of atrial flutter", {}),
        ("Normal ECG", {"NORM": 100}),
        ("Otherwise normal ECG", {}),
        ("Normal ECG except for rate", {}),
        ("Abnormal ECG", {}),
        ("Sinus bradycardia, no left bundle branch block", {"SBRAD": 100}),
    ],
)
def test_statements_become_labels(statement, labels):
    assert read_findings([statement]).labels == labels


def test_a_certain_statement_outweighs_a_doubted_one():
    found = read_findings(["Possible atrial flutter", "Atrial flutter"])
    assert found.labels == {"AFLT": 100}


def test_statements_are_cleaned_as_text_for_an_encoder():
    raw = ["  Sinus   rhythm. ", "", "Normal EKG", "Normal EKG"]
    assert clean_statements(raw) == ["Sinus rhythm", "Normal ECG"]


def test_patients_fall_into_splits_by_their_id_alone_and_in_the_given_shares():
    splits = [split_of(str(10_000_000 + i), (0.8, 0.1, 0.1)) for i in range(4000)]
    assert abs(splits.count("train") / 4000 - 0.8) < 0.03
    assert abs(splits.count("test") / 4000 - 0.1) < 0.02
    assert {split_of(str(i), (0, 0, 1)) for i in range(50)} == {"test"}


def test_a_missing_table_is_named(tmp_path):
    root = write_mimic(tmp_path / "mimic", {1: ["Sinus rhythm"]})
    (root / "machine_measurements.csv").unlink()
    with pytest.raises(DataError, match=r"no machine_measurements\.csv in"):
        MimicIvEcg(root).index()


def test_tables_without_files_say_what_to_download(tmp_path):
    root = write_mimic(tmp_path / "mimic", {1: ["Sinus rhythm"]}, absent=(1,))
    with pytest.raises(DataError, match="none of their files is under files/"):
        MimicIvEcg(root).index()

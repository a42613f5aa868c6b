"""Test reading PTB-XL: complete or partial downloads, damaged files and free-text notes."""

import importlib.metadata
import json
import re

import numpy as np
import pandas as pd
import pytest
from ecg_folders import beats, ptbxl_row, write_ptbxl, write_wfdb

from ecg_lib.data.prepare import find_cohort, prepare
from ecg_lib.data.ptbxl_text import extrasystoles_in, leads_in
from ecg_lib.data.sources.ptbxl import NOISE, PtbXl
from ecg_lib.data.store import summary
from ecg_lib.data.write_store import write_store
from ecg_lib.errors import DataError
from ecg_lib.signal.leads import LEADS


def store_of(root, tmp_path, **options):
    return write_store(tmp_path / "store", PtbXl(root, **options))


def reasons(store):
    table = pd.read_csv(store.folder / "quarantine.csv")
    return dict(zip(table.record, table.reason, strict=True))


def test_a_row_becomes_a_record(tmp_path):
    row = ptbxl_row(
        1001,
        15709,
        age=300.0,
        sex=0,
        scp_codes="{'IMI': 35.0, 'SR': 0.0, 'ODD': 100.0}",
        heart_axis="ALAD",
        infarction_stadium1="unknown",
        infarction_stadium2="Stadium III",
        static_noise=" , I-AVR,V5;V6,  ",
        extra_beats="VES,SVES1,alles",
        strat_fold=9,
    )
    store = store_of(write_ptbxl(tmp_path / "ptbxl", [row]), tmp_path)
    record = store.record("ptbxl/01001")
    assert (record.patient_id, record.age, record.sex) == ("15709", 90.0, "M")
    assert record.recorded_at == "1984-11-09T09:17:34" and record.split == "valid"
    assert record.labels == {"IMI": 35.0, "SR": 0.0}
    assert record.report == "sinusrhythmus normales ekg"
    assert record.attributes == {
        "strat_fold": 9,
        "validated_by_human": True,
        "infarction_stage": "old stage of myocardial infarction",
        "heart_axis_code": "ALAD",
        "heart_axis": "left axis deviation",
        "noise": {"static noise": ["I", "II", "III", "aVR", "V5", "V6"]},
        "extrasystoles": ["ventricular extrasystoles", "supraventricular extrasystoles"],
        "unmapped": ["ODD"],
    }
    np.testing.assert_allclose(record.signal, beats(100, seed=1001), atol=0.001)


def test_rows_without_waveform_are_counted_and_waveforms_without_row_quarantined(tmp_path):
    root = write_ptbxl(tmp_path / "ptbxl", [ptbxl_row(1, 1), ptbxl_row(2, 2)])
    rows = [ptbxl_row(1, 1), ptbxl_row(3, 3), ptbxl_row(4, 4), ptbxl_row(5, 5)]
    pd.DataFrame(rows).to_csv(root / "ptbxl_database.csv", index=False)
    store = store_of(root, tmp_path)
    assert list(store.records.ecg_id) == ["ptbxl/00001"]
    assert reasons(store) == {"ptbxl/00002": "no row in ptbxl_database.csv"}
    assert store.manifest["counts"]["not_at_hand"] == 3
    assert "3 listed but not at hand" in summary(store)


def test_damaged_records_are_quarantined_each_with_its_reason(tmp_path):
    root = write_ptbxl(tmp_path / "ptbxl", [ptbxl_row(i, i) for i in range(1, 11)])
    stems = {i: root / f"records100/00000/{i:05d}_lr" for i in range(1, 11)}
    stems[2].with_suffix(".dat").unlink()
    data = stems[3].with_suffix(".dat").read_bytes()
    stems[3].with_suffix(".dat").write_bytes(data[:7001])
    signal = beats(100)
    write_wfdb(stems[4], signal[:11], LEADS[:11], 100)
    write_wfdb(stems[5], beats(100, seconds=8), fs=100)
    flat, nan, huge = signal.copy(), signal.copy(), signal.copy()
    flat[3], nan[7, 100:200], huge[8, 5] = 0, np.nan, 24
    write_wfdb(stems[6], flat, fs=100)
    write_wfdb(stems[7], nan, fs=100)
    write_wfdb(stems[8], huge, fs=100)
    stems[9].with_suffix(".hea").write_text("this is no header\n")
    store = store_of(root, tmp_path)
    assert list(store.records.ecg_id) == ["ptbxl/00001", "ptbxl/00010"]
    assert reasons(store) == {
        "ptbxl/00002": "header without its .dat file",
        "ptbxl/00003": ".dat file truncated or corrupt",
        "ptbxl/00004": "lead V6 missing",
        "ptbxl/00005": "8.0 s long, 10 s needed",
        "ptbxl/00006": "lead aVR: flat",
        "ptbxl/00007": "lead V2: 10 % of samples are NaN",
        "ptbxl/00008": "lead V3: reaches 24.0 mV, at most 20 expected",
        "ptbxl/00009": "header cannot be read",
    }
    assert "\n" not in summary(store)


@pytest.mark.parametrize("fs", [400, 1000])
def test_leads_in_another_order_and_at_another_rate_give_the_same_ecg(tmp_path, fs):
    root = write_ptbxl(tmp_path / "ptbxl", [ptbxl_row(1, 1)])
    order = [0, 1, 2, 3, 5, 4, 11, 10, 9, 8, 7, 6]
    names = [LEADS[i].lower() for i in order]
    write_wfdb(root / "records100/00000/00001_lr", beats(fs)[order], names, fs)
    signal = store_of(root, tmp_path).mv(0)[0]
    np.testing.assert_allclose(signal[:6], beats(100)[:6], atol=0.02)


def test_500_hz_files_stand_in_where_100_hz_ones_are_absent_or_broken(tmp_path):
    root = write_ptbxl(tmp_path / "ptbxl", [ptbxl_row(1, 1), ptbxl_row(2, 2)], rate=500)
    (root / "records100/00000").mkdir(parents=True)
    (root / "records100/00000/00002_lr.hea").write_text("lone header")
    store = store_of(root, tmp_path)
    assert len(store) == 2
    np.testing.assert_allclose(store.mv(1)[0, :6], beats(100)[:6], atol=0.02)


def intervals_of(store):
    return [known.get("intervals") for known in store.attributes]


def test_intervals_are_measured_unless_lead_ii_is_noted_to_be_disturbed(tmp_path):
    notes = [{}, {"static_noise": " , I-III,  "}, {"baseline_drift": " , V1,  "}]
    notes += [{"extra_beats": "VES,alles"}, {"extra_beats": "1ES"}]
    rows = [ptbxl_row(i, i, **note) for i, note in enumerate(notes, 1)]
    root = write_ptbxl(tmp_path / "ptbxl", rows)
    measured = intervals_of(store_of(root, tmp_path))
    assert [found is not None for found in measured] == [True, False, True, False, True]
    assert all(found["rr interval"] == 1.0 for found in measured if found)
    assert intervals_of(store_of(root, tmp_path, intervals=False)) == [None] * 5


def test_intervals_come_from_the_500_hz_file_where_there_is_a_sound_one(tmp_path):
    rows = [ptbxl_row(i, i) for i in (1, 2, 3)]
    root = write_ptbxl(tmp_path / "ptbxl", rows)
    for number in (1, 2):  # a slower heart, to tell the files apart: RR 1.25 s
        write_wfdb(root / f"records500/00000/{number:05d}_hr", beats(625), fs=500)
    broken = root / "records500/00000/00002_hr.dat"
    broken.write_bytes(broken.read_bytes()[:999])
    store = store_of(root, tmp_path)
    assert [found["rr interval"] for found in intervals_of(store)] == [1.25, 1.0, 1.0]
    assert [known["intervals_hz"] for known in store.attributes] == [500, 100, 100]
    np.testing.assert_allclose(store.mv(0)[0], beats(100, seed=1), atol=0.001)


def test_intervals_shape_the_version_and_need_neurokit(tmp_path, monkeypatch):
    root = write_ptbxl(tmp_path / "ptbxl", [ptbxl_row(1, 1)])
    plain = PtbXl(root, intervals=False).version
    assert PtbXl(root).version.startswith(plain) and PtbXl(root).version != plain

    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    with pytest.raises(DataError, match="intervals=False"):
        PtbXl(root)
    assert PtbXl(root, intervals=False).version == plain


def test_without_ecgqa_the_recommended_folds_are_the_splits(tmp_path):
    rows = [ptbxl_row(i, i, strat_fold=fold) for i, fold in enumerate([1, 8, 9, 10], 1)]
    store = store_of(write_ptbxl(tmp_path / "ptbxl", rows), tmp_path)
    assert list(store.records.split) == ["train", "train", "valid", "test"]


def _ecgqa(folder, **splits):
    (folder / "ptbxl").mkdir(parents=True)
    for split in ("train", "valid", "test"):
        lines = [f"{i}\t{ecg_id}" for i, ecg_id in enumerate(splits.get(split, []))]
        (folder / "ptbxl" / f"{split}_ecgs.tsv").write_text("\n".join(lines or ["0\t99999"]) + "\n")
    return folder


def test_ecgqa_splits_hold_for_the_whole_patient(tmp_path):
    patients = {1: 10, 2: 10, 3: 20, 4: 30, 5: 40}  # 2 and 5 are not listed by ECG-QA
    rows = [ptbxl_row(i, p, strat_fold=10) for i, p in patients.items()]
    ecgqa = _ecgqa(tmp_path / "ecg-qa", train=[4], valid=[3], test=[1])
    store = store_of(write_ptbxl(tmp_path / "ptbxl", rows), tmp_path, ecgqa_root=ecgqa)
    assert list(store.records.split) == ["test", "test", "valid", "train", "train"]


def test_a_patient_torn_by_ecgqa_is_refused(tmp_path):
    rows = [ptbxl_row(1, 10), ptbxl_row(2, 10)]
    ecgqa = _ecgqa(tmp_path / "ecg-qa", train=[1], test=[2])
    with pytest.raises(DataError, match="patient 10 in two splits"):
        PtbXl(write_ptbxl(tmp_path / "ptbxl", rows), ecgqa_root=ecgqa).index()


@pytest.mark.parametrize(
    "text, leads",
    [
        (" , I-V1,  ", LEADS[:7]),
        (" , alles,  ", LEADS),
        ("alle Abl.,  ", LEADS),
        (" , V1,3,4,6", ("V1", "V3", "V4", "V6")),
        ("v5-6,  ", ("V5", "V6")),
        (" , V1V6", ("V1", "V6")),
        (" , I - V!,V5;V6,  ", (*LEADS[:7], "V5", "V6")),
        (" , II,III.AVF,V3", ("II", "III", "aVF", "V3")),
        (" , avl-iii, Stark,  ", ("III", "aVR", "aVL")),
        (" , I --AVL,  ", LEADS[:5]),
        ("Kontaktprobleme aVL ???", ("aVL",)),
        (" , leicht,  ", ()),
        (" , V7", ()),
        (" , 3ES,  ", ()),
        ("Elektroden vertauscht???", ()),
    ],
)
def test_noise_notes_name_their_leads(text, leads):
    assert leads_in(text) == list(leads)


@pytest.mark.parametrize(
    "text, kinds",
    [
        ("1ES", ["extrasystoles"]),
        ("10ES", ["extrasystoles"]),
        ("VES2,alles", ["ventricular extrasystoles"]),
        ("2ES,SVES", ["extrasystoles", "supraventricular extrasystoles"]),
        ("1,alles", ["extrasystoles"]),
        ("2,V1-V3,V5", ["extrasystoles"]),
        ("I-AVR", []),
        ("", []),
    ],
)
def test_extra_beat_notes_name_their_kinds(text, kinds):
    assert extrasystoles_in(text) == kinds


def test_a_folder_without_ptbxl_says_what_was_looked_for(tmp_path):
    with pytest.raises(DataError, match=re.escape("no ptbxl_database.csv in")):
        PtbXl(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        PtbXl(tmp_path / "nowhere")


def test_a_table_without_any_waveform_says_what_to_download(tmp_path):
    pd.DataFrame([ptbxl_row(1, 1)]).to_csv(tmp_path / "ptbxl_database.csv", index=False)
    with pytest.raises(DataError, match=r"lists 1 ECGs but none .* records100/"):
        PtbXl(tmp_path).index()


def test_a_table_of_another_version_names_the_missing_column(tmp_path):
    table = pd.DataFrame([ptbxl_row(1, 1)]).drop(columns="strat_fold")
    table.to_csv(tmp_path / "ptbxl_database.csv", index=False)
    with pytest.raises(DataError, match="no column strat_fold"):
        PtbXl(tmp_path).index()


def test_physionets_folder_is_found_two_levels_down(tmp_path):
    name = "ptb-xl-a-large-publicly-available-electrocardiography-dataset-1.0.3"
    root = write_ptbxl(tmp_path / "downloads" / name, [ptbxl_row(1, 1)])
    assert find_cohort(tmp_path, "ptbxl") == root
    assert len(prepare("ptbxl", tmp_path, tmp_path / "store")) == 1


class FirstFew(PtbXl):
    def index(self):
        items = super().index()
        items.table = items.table.iloc[:60]
        return items


def test_real_records_prepare_and_obey_einthovens_law(real_data, tmp_path):
    from ecg_lib.signal.leads import einthoven_residual

    ecgqa = find_cohort(real_data, "ecgqa")
    store = write_store(tmp_path / "store", FirstFew(real_data, ecgqa_root=ecgqa))
    assert len(store) == 60
    assert (einthoven_residual(store.mv(slice(None))) < 0.01).all()
    rates = [60 / found["rr interval"] for found in intervals_of(store) if found]
    assert len(rates) > 30 and 60 < np.median(rates) < 80
    assert store.records.groupby("patient_id").split.nunique().max() == 1


def test_real_waveforms_without_a_row_and_rows_without_a_waveform_are_told_apart(real_data):
    source = PtbXl(real_data)
    table = source.index().table
    assert list(table[table.listed != True].ecg_id) == list(range(6004, 6010))  # noqa: E712
    assert source.not_at_hand > 10_000


def test_parsed_noise_agrees_with_ecgqas_answers(real_data):
    """Templates 26-28 ask about noise; their answers were derived from the same notes."""
    folder = find_cohort(real_data, "ecgqa") / "ptbxl"
    rows = json.loads((folder / "template/train/120000.json").read_text())
    table = pd.read_csv(find_cohort(real_data, "ptbxl") / "ptbxl_database.csv", dtype=str)
    table = table.set_index(table.ecg_id.astype(int)).fillna("")
    agree = []
    for row in rows:
        if row["ecg_id"][0] not in table.index:
            continue
        notes = table.loc[row["ecg_id"][0]]
        kinds = [kind for kind in NOISE if kind in row["question"]] or list(NOISE)
        leads = {lead for kind in kinds for lead in leads_in(notes[NOISE[kind]])}
        asked = re.search(r"lead (\S+)\?", row["question"])
        ours = asked[1] in leads if asked else bool(leads)
        agree.append(ours == (row["answer"] == ["yes"]))
    assert len(agree) > 5000 and np.mean(agree) > 0.999

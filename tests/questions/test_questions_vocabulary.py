"""Tests of answers as sets and as text, the row schema, and reading ECG-QA's own files."""

import ast
import json

import pandas as pd
import pytest

from ecg_lib.errors import DataError
from ecg_lib.questions.ecgqa_rows import (
    expected_counts,
    keep_known,
    read_ecg_ids,
    read_ecgqa,
)
from ecg_lib.questions.schema import read_split, template_key, validate_rows, write_split
from ecg_lib.questions.vocabulary import all_answers, answer_text, classes_for, parse_answer

BIGEMINY = "bigeminal pattern (unknown origin, supraventricular, or ventricular)"


def row(**changes) -> dict:
    return {
        "template_id": 69,
        "question_id": 2471,
        "sample_id": 0,
        "question_type": "comparison_irrelevant-query",
        "attribute_type": "numeric_feature",
        "question": "Which?",
        "answer": ["pr interval"],
        "ecg_id": [17, 4],
        "attribute": None,
    } | changes


def release(tmp_path, rows, split="train", corpus="ptbxl", name="00000.json"):
    folder = tmp_path / corpus / "paraphrased" / split
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(rows))
    return tmp_path


def test_a_label_with_commas_survives_the_round_trip():
    answer = {BIGEMINY, "sinus rhythm", "q waves present"}
    assert parse_answer(answer_text(answer)) == answer
    assert parse_answer(", ".join(sorted(answer))) == answer


def test_every_answer_is_recognised_alone_and_in_capitals():
    assert len(all_answers()) == 104
    for answer in all_answers():
        assert parse_answer(answer) == parse_answer(f" {answer.upper()}. ") == {answer}


def test_the_longest_label_wins_over_labels_inside_it():
    text = "Voltage criteria (QRS) for left ventricular hypertrophy"
    assert parse_answer(text) == {"voltage criteria (qrs) for left ventricular hypertrophy"}
    assert parse_answer("lead III; lead I") == {"lead I", "lead III"}
    assert parse_answer("supraventricular extrasystoles") == {"supraventricular extrasystoles"}
    assert parse_answer("none of myocardial infarction", classes_for(25)) == {
        "none of myocardial infarction"
    }


def test_none_is_an_answer_garbage_is_not_and_none_beside_a_label_is_dropped():
    assert parse_answer("none") == {"none"}
    assert parse_answer("the weather is fine") == frozenset()
    assert parse_answer("none; atrial flutter") == {"atrial flutter"}


def test_read_strictly_a_denial_or_a_hedge_is_no_label_and_stays():
    leads = classes_for(19)
    assert parse_answer("no Lead I; lead  V2", leads, strict=True) == {"no lead i", "lead V2"}
    assert parse_answer("no Lead I; lead  V2", leads) == {"lead I", "lead V2"}
    assert parse_answer("lead I, lead II and lead V2", leads, strict=True) == {
        "lead I",
        "lead II",
        "lead V2",
    }
    # Strictly, "none" beside a label contradicts it.
    assert parse_answer("none; lead I", leads, strict=True) == {"none", "lead I"}
    assert parse_answer("LVH; lvh", (), strict=True) == {"lvh"}


def test_answer_text_does_not_depend_on_the_order_given():
    assert answer_text(["rr interval", "pr interval"]) == answer_text(
        ["pr interval", "rr interval"]
    )
    assert answer_text(["rr interval", "pr interval"]) == "pr interval; rr interval"


def test_choose_questions_admit_their_options_and_none():
    assert classes_for(
        40,
        "single-choose",
        ["above the normal range of qt interval", "below the normal range of qt interval"],
    ) == ("none", "above the normal range", "below the normal range")
    assert classes_for(1) == ("no", "not sure", "yes")


def test_our_class_lists_cover_those_of_the_release(real_data):
    table = pd.read_csv(real_data / "ecg-qa" / "ptbxl" / "answers_for_each_template.csv")
    release_classes = {
        int(row.template_id): ast.literal_eval(row.classes) for row in table.itertuples()
    }
    assert sorted(release_classes) == list(range(1, 71))
    differing = [t for t, answers in release_classes.items() if set(answers) != set(classes_for(t))]
    assert differing == [18, 48, 49]
    assert all(set(release_classes[t]) < set(classes_for(t)) for t in differing)
    upstream = pd.read_csv(real_data / "ecg-qa" / "ptbxl" / "answers.csv", keep_default_na=False)
    assert tuple(upstream["class"]) == all_answers()


def test_the_real_shard_forms_43_groups_and_3007_pairs(real_data):
    rows = read_ecgqa(real_data / "ecg-qa")
    noise = rows.loc[rows.template_id.isin([26, 27, 28])]
    counts = pd.crosstab([template_key(noise), noise.question_type], noise.answer.str[0])
    assert (len(noise), len(counts), counts.min(axis=1).sum()) == (10_000, 43, 3_007)
    assert template_key(rows).nunique() == 43 + 3
    report = expected_counts(rows, "ptbxl", "train")
    assert report == {"rows": 17_539, "expected": 267_539, "complete": False}


def test_template_and_paraphrased_forms_agree_row_by_row(real_data):
    root = real_data / "ecg-qa"
    plain, worded = (read_ecgqa(root, form=form) for form in ("template", "paraphrased"))
    assert plain.sample_id.equals(worded.sample_id) and plain.ecg_id.equals(worded.ecg_id)
    assert plain.answer.map(answer_text).equals(worded.answer.map(answer_text))
    assert not (plain.question == worded.question)[plain.template_id < 29].any()
    known, summary = keep_known(worded, read_ecg_ids(root, "ptbxl", "train"))
    assert len(known) == len(worded) and summary["dropped"] == 0


def test_ids_become_text_and_keep_their_order(tmp_path):
    ptbxl = read_ecgqa(release(tmp_path, [row()]))
    assert ptbxl.ecg_id[0] == ["ptbxl/00017", "ptbxl/00004"] and ptbxl.attribute[0] is None
    mimic = read_ecgqa(
        release(tmp_path, [row(ecg_id=[43402541, 41006988])], corpus="mimic-iv-ecg"),
        corpus="mimic-iv-ecg",
    )
    assert mimic.ecg_id[0] == ["mimic-iv-ecg/43402541", "mimic-iv-ecg/41006988"]


def test_shards_are_joined_in_order_and_extra_fields_left_out(tmp_path):
    release(tmp_path, [row(sample_id=7, ecg_path=["a", "b"])], name="10000.json")
    rows = read_ecgqa(release(tmp_path, [row(sample_id=3)], name="20000.json"))
    assert rows.sample_id.tolist() == [3, 7] and "ecg_path" not in rows


def test_outdated_labels_are_refused_with_the_version_to_get(tmp_path):
    old = row(answer=["late stage of myocardial infarction"])
    with pytest.raises(DataError, match=r"v1\.0\.0 labels; get v1\.0\.2"):
        read_ecgqa(release(tmp_path, [old]))


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="mimic-iv-ecg/paraphrased/test"):
        read_ecgqa(tmp_path, corpus="mimic-iv-ecg", split="test")


def test_an_lfs_pointer_is_not_taken_for_data(tmp_path):
    folder = tmp_path / "ptbxl" / "paraphrased" / "train"
    folder.mkdir(parents=True)
    (folder / "0.json").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(DataError, match="0.json: not JSON"):
        read_ecgqa(tmp_path)


def test_rows_about_unknown_ecgs_are_dropped_and_counted(tmp_path):
    rows = read_ecgqa(release(tmp_path, [row(), row(sample_id=1, ecg_id=[17, 99])]))
    kept, summary = keep_known(rows, {"ptbxl/00017", "ptbxl/00004"})
    assert kept.sample_id.tolist() == [0]
    assert summary == {
        "kept": 1,
        "dropped": 1,
        "unknown_ecgs": 1,
        "dropped_by_type": {"comparison_irrelevant-query": 1},
    }


def test_question_files_round_trip(tmp_path):
    rows = read_ecgqa(release(tmp_path, [row(), row(sample_id=1, attribute=["x"])]))
    write_split(rows, tmp_path / "questions", "train")
    pd.testing.assert_frame_equal(read_split(tmp_path / "questions", "train"), rows)
    assert [p.name for p in (tmp_path / "questions").iterdir()] == ["train.parquet"]
    with pytest.raises(DataError, match="test.parquet"):
        read_split(tmp_path / "questions", "test")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("ecg_id", ["a"], "must name two ECGs"),
        ("answer", [], "at least one text"),
        ("question_type", "comparison-choose", "not one of the seven"),
        ("question", " ", "is empty"),
        ("attribute", "x", "null or a list"),
        ("answer", "yes", "must be a list"),
    ],
)
def test_a_broken_row_is_named_with_its_field(field, value, said):
    rows = pd.DataFrame(
        [row(sample_id=41, ecg_id=["a", "b"]), row(sample_id=42, ecg_id=["a", "b"])]
    )
    rows.at[1, field] = value
    with pytest.raises(DataError, match=rf"sample_id 42, field {field}.*{said}"):
        validate_rows(rows)


def test_an_ecg_outside_the_store_is_named():
    with pytest.raises(DataError, match="sample_id 0, field ecg_id.*not in the store"):
        validate_rows(pd.DataFrame([row(ecg_id=["a", "b"])]), known_ecgs={"a"})

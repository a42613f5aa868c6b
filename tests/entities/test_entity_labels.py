"""Test entity sets, superclasses, saved folders and the labels that training reads."""

import numpy as np
import pytest

from ecg_lib.entities.entity_labels import entity_labels, lexicon_entities
from ecg_lib.entities.entity_set import EntitySet
from ecg_lib.entities.labelled_reports import load_entities, save_labels
from ecg_lib.entities.mention import Mention
from ecg_lib.entities.mining import mine_to_folder
from ecg_lib.errors import DataError

REPORTS = [
    "Sinus rhythm. Old inferior infarct.",
    "Atrial fibrillation, no infarct. Possible LVH",
    "",
]


def small():
    names = ["afib", "atrial fibrillation", "imi", "ami", "lvh"]
    merged = {"afib": "atrial fibrillation"}
    return EntitySet.of(names, merged, {"mi": ["imi", "ami"], "lvh": ["ami"], "one": ["imi"]})


def test_names_are_merged_and_superclasses_follow_their_members():
    entities = small()
    assert entities.names == ("atrial fibrillation", "imi", "ami", "lvh", "mi")
    mentions = [
        [Mention("afib", "AFib")],
        [Mention("imi", "x")],
        [Mention("ami", "x")],
        [Mention("lvh", "x")],
        [Mention("imi", "x", "denied"), Mention("afib", "x", "doubted"), Mention("none", "x")],
    ]
    want = [[1, 0, 0, 0, 0], [0, 1, 0, 0, 1], [0, 0, 1, 1, 1], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(entities.matrix(mentions), np.array(want, bool))
    kept = entities.matrix(mentions, ("asserted", "doubted"))
    assert kept[4].tolist() == [True, False, False, False, False]


def test_superclasses_of_superclasses_count_and_circles_are_refused():
    entities = EntitySet({"a": ("a",)}, {"up": ("a",), "top": ("up",)})
    assert entities.matrix([[Mention("a", "a")]]).all()
    with pytest.raises(DataError, match="holds itself"):
        EntitySet({"a": ("a",)}, {"up": ("top",), "top": ("up",)})
    with pytest.raises(DataError, match="no entity"):
        EntitySet({"a": ("a",)}, {"up": ("b",)})
    with pytest.raises(DataError, match="'x' means"):
        EntitySet({"a": ("x",), "b": ("x",)}, {})
    odd = EntitySet.of(["a", "b", "c"], superclass={"a": ["b", "c"], "b": ["a", "c"]})
    assert odd.superclass == {
        "a": ("b", "c"),
        "b": ("c",),
    }  # the link that closes the circle is left out


def test_the_hash_changes_with_any_part():
    one, other = small(), EntitySet.of(["afib", "imi"])
    assert one.hash == small().hash == EntitySet.from_json(one.as_json()).hash != other.hash


def test_labels_of_the_lexicon_have_the_same_columns_for_all_reports():
    labels = entity_labels("lexicon", REPORTS)
    assert labels.names == entity_labels("lexicon", ["nothing"]).names == lexicon_entities().names
    assert labels.matrix.shape == (3, len(labels.names)) and labels.matrix.dtype == bool
    said = [{n for n, on in zip(labels.names, row, strict=True) if on} for row in labels.matrix]
    imi = "myocardial infarction in inferior leads"
    assert said == [{"sinus rhythm", imi, "myocardial infarction"}, {"atrial fibrillation"}, set()]


def test_a_saved_folder_gives_the_same_labels_in_any_order(tmp_path):
    mine_to_folder([*REPORTS, REPORTS[0]], tmp_path / "e")
    labels = entity_labels(str(tmp_path / "e"), REPORTS[::-1])
    want = entity_labels("lexicon", REPORTS[::-1])
    assert labels.names == want.names and (labels.matrix == want.matrix).all()
    before = {f.name: f.read_bytes() for f in (tmp_path / "e").iterdir()}
    mine_to_folder(REPORTS[::-1], tmp_path / "e")
    assert before == {f.name: f.read_bytes() for f in (tmp_path / "e").iterdir()}
    assert set(before) == {"entities.json", "labels.parquet", "mentions.parquet"}


def test_a_report_that_was_not_mined_is_refused_with_the_cure(tmp_path):
    mine_to_folder(REPORTS, tmp_path)
    with pytest.raises(DataError, match="1 of 2 reports .* 'new one'; mine the reports again") as e:
        entity_labels(str(tmp_path), [REPORTS[0], "new one"])
    assert "\n" not in str(e.value)


def test_a_folder_that_is_none_or_damaged_or_of_two_runs_is_refused(tmp_path):
    with pytest.raises(DataError, match="no entities.json"):
        load_entities(tmp_path)
    entities = EntitySet.of(["a"])
    save_labels(tmp_path, entities, ["x"], np.array([[True]]))
    first = (tmp_path / "labels.parquet").read_bytes()
    save_labels(tmp_path, entities, ["x"], np.array([[False]]))
    (tmp_path / "labels.parquet").write_bytes(first)
    with pytest.raises(DataError, match="do not belong together"):
        load_entities(tmp_path)
    (tmp_path / "entities.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        load_entities(tmp_path)


def test_no_report_with_a_word_is_told(tmp_path):
    with pytest.raises(DataError, match="no report has a word"):
        mine_to_folder(["", " "], tmp_path)

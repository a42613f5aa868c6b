"""Test which classes count as seen: by code, and by the similarity of names."""

import numpy as np
import pandas as pd
import pytest
from released_sets import write_set

from ecg_lib.evaluation.seen_classes import seen_classes
from ecg_lib.evaluation.task import load_task

# unit vectors in a plane, by angle in degrees: the cosine exceeds 0.95 below 18.2 degrees
ANGLES = {
    "atrial fibrillation": 0,
    "atrial flutter": 15,
    "sinus rhythm": 90,
    "af": 40,
    "normal rhythm": 75,
}


def embed(texts):
    angles = np.deg2rad([ANGLES[text] for text in texts])
    return 3 * np.column_stack([np.cos(angles), np.sin(angles)])  # the length must not matter


@pytest.fixture
def task(tmp_path):
    return load_task(write_set(tmp_path))


def test_the_code_decides_and_the_name_rule_stands_beside_it(task):
    entities = {"af": ["AFIB"], "normal rhythm": []}
    found = seen_classes(task, entities, embed).set_index("label")
    assert found["by_code"].tolist() == [True, False, False]
    assert found["same_code"].tolist() == [("af",), (), ()]
    assert found["nearest"].tolist() == ["af", "af", "normal rhythm"]
    expected = np.cos(np.deg2rad([40, 25, 15]))
    assert found["similarity"].to_numpy() == pytest.approx(expected)
    assert found["by_similarity"].tolist() == [False, False, True]


def test_a_close_name_of_another_finding_is_seen_by_the_name_rule_only(task):
    found = seen_classes(task, {"atrial fibrillation": ["AFIB"]}, embed).set_index("label")
    assert found.loc["AB", ["by_code", "by_similarity"]].tolist() == [False, True]
    above = seen_classes(task, {"atrial fibrillation": ["AFIB"]}, embed, above=0.97)
    assert not above.set_index("label").at["AB", "by_similarity"]


def test_a_class_without_a_code_is_unknown(tmp_path):
    found = seen_classes(load_task("csn.yaml"), {"u wave": [], "af": ["AFIB"]}).set_index("label")
    assert found.at["UW", "by_code"] is pd.NA and found.at["AFIB", "by_code"]
    assert not found.at["AF", "by_code"], "AF is flutter in this set"
    assert list(found) == ["text", "by_code", "same_code"]


def test_one_of_several_codes_is_enough(tmp_path):
    found = seen_classes(load_task("ptbxl_sub.yaml"), {"2nd degree block": {"2AVB", "SR"}})
    assert found.loc[found["by_code"], "label"].tolist() == ["AVB"]


def test_the_name_rule_needs_an_entity(task):
    assert not seen_classes(task, {})["by_code"].any()
    with pytest.raises(ValueError, match="no entities"):
        seen_classes(task, {}, embed)

"""Tests of Table 1 by arithmetic, against shares worked out by hand and rows actually drawn."""

import numpy as np
import pandas as pd
import pytest
from simulated_labels import simulated_records

from ecg_lib.questions.bias import normal_ratio
from ecg_lib.questions.build import build_questions
from ecg_lib.questions.sampling_arithmetic import (
    IS_NORMAL,
    MEAN,
    expected_normal_share,
    predicted_table1,
)
from ecg_lib.questions.worlds import find_world
from ecg_lib.report.bias_tables import predicted_cells
from ecg_lib.report.reference import paper_table


def ecgs(ill=4, well=13, other=13):
    """Make ECGs: `ill` have atrial fibrillation, `well` are normal, `other` have CLBBB."""
    labels = [{"AFIB": 100.0}] * ill + [{"NORM": 100.0}] * well + [{"CLBBB": 100.0}] * other
    table = pd.DataFrame({"labels": labels, "split": "train", "attributes": [{}] * len(labels)})
    table["ecg_id"] = [f"x/{i}" for i in range(len(table))]
    table["patient_id"] = table["recorded_at"] = table["ecg_id"]
    return table.assign(normal=["NORM" in held for held in table.labels])


def test_the_share_of_a_toy_can_be_done_by_hand():
    """None of 4 yes is normal. Of 26 no, half are, and 5 x 4 are drawn: 10 normal of 24 rows."""
    table = expected_normal_share(ecgs(), [1])
    asked = table[table.question.str.contains("atrial fibrillation")]
    assert asked.expected.tolist() == pytest.approx([10 / 24]) and asked.n.tolist() == [24]


def test_no_cap_binds_less_in_a_sample_than_in_all():
    records = simulated_records()
    half, whole = len(records), pd.concat([records, records])
    of_half = expected_normal_share(records, [1, 2, 12], cap=100, of=2 * half)
    of_all = expected_normal_share(whole, [1, 2, 12], cap=100)
    pd.testing.assert_frame_equal(of_half, of_all, check_dtype=False)
    assert not expected_normal_share(records, [1], cap=100).expected.equals(of_half.expected)


@pytest.fixture(scope="module")
def records():
    records = simulated_records()
    return records[records.split == "train"]


def test_rows_that_are_drawn_by_the_law_have_the_share_that_is_predicted(records):
    world = find_world("ecgqa")
    sizes = dict.fromkeys(("train", "valid", "test"), world.sizes(30))
    rows = build_questions(records, sizes, world, 0, [1, 2, 12])["train"]
    normal = records.set_index("ecg_id").normal
    counted = normal_ratio(rows, normal, by="template_key").set_index("question")
    expected = expected_normal_share(records, [1, 2, 12], cap=30)
    by_template = counted.groupby("template_id").ratio.mean()
    predicted = expected.groupby("template_id").expected.mean()
    assert by_template.to_numpy() == pytest.approx(predicted.to_numpy(), abs=0.03)
    assert predicted[2] == pytest.approx(1 / 3) and predicted[12] > 0.5 > predicted[1]


def test_the_table_sets_quota_count_and_paper_beside_each_other(records):
    paper = paper_table("table1")
    predicted = predicted_table1(records, paper["row"])
    assert list(predicted.row) == [*paper["row"], IS_NORMAL, MEAN]
    broad = predicted[predicted.template_id == 12]
    assert (broad.n == round(300 / 7)).all(), "300 rows in seven wordings, as in the release"
    assert ((broad.low < broad.expected) & (broad.expected < broad.high)).all()
    rows = build_questions(records, None, find_world("ecgqa"), 0, [1, 2, 12, 23])["train"]
    cells = pd.DataFrame(
        predicted_cells(predicted, rows, records.set_index("ecg_id").normal, paper)
    )
    table = cells.pivot(index="row", columns="column", values="value")
    published = paper.set_index("row").value
    assert (table.loc[published.index, "the paper"] - published).abs().max() < 1e-9
    assert table.loc[IS_NORMAL, "by the quota"] == pytest.approx(100 / 3)
    assert table.loc[IS_NORMAL, "counted here"] == pytest.approx(100 / 3, abs=5)
    assert np.isnan(table.loc[MEAN, "the paper"])


def test_a_question_that_nobody_answers_yes_to_has_no_share():
    predicted = predicted_table1(ecgs(), paper_table("table1")["row"]).set_index("template_id")
    assert np.isnan(predicted.loc[23, "expected"])
    assert predicted.loc[12, "expected"].notna().all()

"""Tests of the accuracy of readers without an ECG: cases done by hand, and invariants."""

import numpy as np
import pytest
from simulated_labels import simulated_records
from toy_rows import toy_rows

from ecg_lib.errors import DataError
from ecg_lib.questions.audit import audit_methods
from ecg_lib.questions.build import build_questions
from ecg_lib.questions.debias import pair_within_severity
from ecg_lib.questions.schema import template_key
from ecg_lib.questions.severity import strata
from ecg_lib.questions.worlds import find_world
from ecg_lib.questions.worth import BITS, READERS, REMEDIES, worth, worth_of_worlds


def value(table):
    return table.set_index(["remedy", "reader"]).value


def test_readers_that_can_be_counted_by_hand():
    # Question 1: yes for 4 ill, no for 2 ill and 2 well. Question 3: no for 1 ill and 7 well.
    rows, normal = toy_rows(
        [
            *[(1, "yes", False, 4), (1, "no", False, 2), (1, "no", True, 2)],
            *[(3, "no", False, 1), (3, "no", True, 7)],
        ]
    )
    found = value(worth(rows, normal))
    assert found["as drawn", "constant"] == 12 / 16
    assert found["as drawn", "question"] == 12 / 16
    assert found["as drawn", "ill"] == (4 + 2 + 7) / 16
    assert found["as drawn", "question + ill"] == (4 + 2 + 8) / 16
    # H(1/4) - 1/2 H(1/2)
    assert found["as drawn", BITS] == pytest.approx(0.811278 - 0.5, abs=1e-6)
    # Pairs keep only question 1, 4 yes and 4 no. Within severity they keep 2 ill yes, 2 ill no.
    assert found["pairs", "ill"] == 6 / 8 and found["pairs", "question"] == 0.5
    assert found["pairs within severity", "question + ill"] == 0.5
    assert set(found.index.get_level_values(0)) == set(REMEDIES)


def test_weights_give_every_question_the_cohorts_share_of_normal_ecgs():
    rows, normal = toy_rows(
        [(1, "yes", False, 6), (1, "no", True, 2), (3, "yes", False, 2), (3, "no", True, 6)]
    )
    table = worth(rows, normal)
    found, plain = value(table), table.set_index(["remedy", "reader"])
    assert found["as drawn", "question"] == 0.75 and found["as drawn", BITS] > 0.1
    assert found["weights", "question"] == pytest.approx(0.5)
    assert found["weights", BITS] == pytest.approx(0, abs=1e-9)
    assert plain.loc[("weights", "ill"), "normal"] == pytest.approx(0.5)


def test_not_sure_is_left_out_or_an_error():
    rows, normal = toy_rows([(1, "yes", False, 2), (1, "not sure", False, 1), (1, "no", True, 3)])
    assert value(worth(rows, normal))["as drawn", "constant"] == 3 / 5
    assert value(worth(rows, normal, unsure="error"))["as drawn", "constant"] == 3 / 6
    assert value(worth(rows, normal, unsure="error"))["pairs", "constant"] == 0.5


def test_ill_says_no_to_whether_the_ecg_is_normal():
    rows, normal = toy_rows([(2, "yes", True, 3), (2, "no", False, 3)])
    assert value(worth(rows, normal))["as drawn", "ill"] == 1


@pytest.fixture(scope="module")
def records():
    return simulated_records()


@pytest.fixture(scope="module")
def measured(records):
    rows = {}
    for name, strength in (("ecgqa", 1.0), ("nature", 0.0), ("nature", 1.0), ("do", 1.0)):
        world = find_world(name, strength)
        sizes = dict.fromkeys(("train", "valid", "test"), world.sizes(40))
        title = f"{name} {strength:.0f}"
        rows[title] = build_questions(records, sizes, world, 0, [1, 23])["train"]
    return worth_of_worlds(rows, records.set_index("ecg_id").normal)


def test_only_pairs_within_severity_bring_every_reader_to_a_coin(measured):
    within = measured[measured.remedy == "pairs within severity"]
    blind = within[within.reader.isin(READERS[:-1])]
    assert len(blind) == 4 * 4 and (blind.value == 0.5).all()
    paired = measured[(measured.remedy == "pairs")].set_index(["world", "reader"]).value
    for world in measured.world.unique():
        assert paired[world, "question"] == 0.5
        assert paired[world, "ill"] > (0.5 if world.startswith("do") else 0.6)  # `do` has few pairs


def test_the_question_pays_in_nature_and_not_in_ecgqa(measured):
    drawn = measured[measured.remedy == "as drawn"].set_index(["world", "reader"]).value
    gain = {w: drawn[w, "question"] - drawn[w, "constant"] for w in measured.world.unique()}
    assert gain["nature 1"] > 0.1 and gain["nature 0"] < 0.02 and gain["ecgqa 1"] < 0.01
    assert drawn["nature 1", BITS] > 5 * drawn["ecgqa 1", BITS]


def test_pairing_ecgqa_makes_illness_worth_more(measured):
    ill = measured[measured.reader == "ill"].set_index(["world", "remedy"]).value
    assert ill["ecgqa 1", "pairs"] > ill["ecgqa 1", "as drawn"] + 0.05


def test_a_reader_told_more_is_never_worse(measured):
    wide = measured.pivot(index=["world", "remedy"], columns="reader", values="value")
    assert (wide["constant"] <= wide["question"] + 1e-9).all()
    assert (wide["question"] <= wide["question + ill"] + 1e-9).all()
    assert (wide["perfect"] == 1).all()


# -- pairs within severity -------------------------------------------------------------------


@pytest.mark.parametrize("match", ["normal", "severity"])
def test_yes_and_no_of_a_pair_are_equally_ill(records, match):
    world = find_world("ecgqa")
    sizes = dict.fromkeys(("train", "valid", "test"), world.sizes(40))
    rows = build_questions(records, sizes, world, 0, [1, 57])["train"]
    stratum = strata(records, match)
    paired, pairs = pair_within_severity(rows, stratum, seed=0)
    by_id = rows.assign(key=template_key(rows)).set_index("sample_id")
    yes, no = by_id.loc[pairs.yes_sample_id], by_id.loc[pairs.no_sample_id]
    for column in ("key", "question_type"):
        assert (yes[column].to_numpy() == no[column].to_numpy()).all()
    assert set(yes.answer.str[0]) == {"yes"} and set(no.answer.str[0]) == {"no"}
    for one, other in zip(yes.ecg_id, no.ecg_id, strict=True):
        assert stratum[one].tolist() == stratum[other].tolist()
    assert paired.sample_id.is_unique and len(paired) == 2 * len(pairs) > 500
    again = pair_within_severity(rows, stratum, seed=0)[0]
    assert paired.equals(again)


def test_rows_of_unknown_severity_are_in_no_pair():
    rows, normal = toy_rows([(1, "yes", False, 2), (1, "no", False, 2)])
    paired, _ = pair_within_severity(rows, normal.iloc[1:], seed=0)
    assert len(paired) == 2 and paired.ecg_id.str[0].isin(normal.index[1:]).all()


def test_grades_of_severity_split_the_ill_alone_and_evenly(records):
    grade = strata(records, "severity")
    by_id = records.set_index("ecg_id")
    assert (grade[by_id.normal] == 0).all() and set(grade[~by_id.normal]) == {1, 2, 3}
    assert np.ptp(grade[grade > 0].value_counts()) <= 2
    assert by_id.severity.groupby(grade).mean().loc[1:].is_monotonic_increasing
    with pytest.raises(DataError, match="no graded severity"):
        strata(records.drop(columns="severity"), "severity")
    with pytest.raises(DataError, match="'age'; use one of normal, severity"):
        strata(records, "age")


def test_the_audit_counts_yes_to_normal_as_no():
    """In a healthy cohort, yes to "normal?" and no to "abnormal?" are the same answer."""
    rows, normal = toy_rows(
        [(2, "yes", True, 5), (2, "no", False, 1), (12, "no", True, 5), (12, "yes", False, 1)]
    )
    table = audit_methods(rows, normal, 0).set_index(["group", "method"])
    assert table.loc[("broad", "as asked"), "yes_rate"] == pytest.approx(1 / 6)

"""Test accuracy by severity and answer on a set counted by hand."""

import numpy as np
import pandas as pd
import pytest

from ecg_lib.errors import DataError
from ecg_lib.evaluation.severity_strata import (
    ALL,
    EVERY,
    ILL_NO,
    ILL_YES,
    NORMAL_NO,
    WITHIN,
    question_kinds,
    strata,
    within_illness,
)

NORMAL = pd.Series({"i1": False, "i2": False, "n1": True, "n2": True})
PATIENTS = pd.Series({"i1": "p1", "i2": "p2", "n1": "p3", "n2": "p4"})


def rows_of(*asked, kind="single-verify"):
    """Return rows of one specific question for pairs (ECGs, answer)."""
    rows = pd.DataFrame(
        [{"ecg_id": ecgs.split(), "answer": [answer]} for ecgs, answer in asked],
        index=range(7, 7 + len(asked)),
    )
    return rows.assign(
        template_id=1,
        question_id=1000,
        question_type=kind,
        attribute_type="scp_code",
        attribute=None,
        question="Is it there?",
        sample_id=rows.index,
    )


def table_of(rows, compared=(), **said):
    """Return `within_illness` by row and column; each answerer is a string of 1 (right) and 0."""
    right = {name: pd.Series([c == "1" for c in bits], rows.index) for name, bits in said.items()}
    table = within_illness(right, rows, NORMAL, PATIENTS, compared, resamples=200)
    return table.set_index(["row", "column"])


def test_the_ill_of_either_answer_weigh_the_same():
    rows = rows_of(*[("i1", "yes")] * 3, ("i2", "yes"), ("i1", "no"), ("i2", "no"), ("n1", "no"))
    table = table_of(rows, reader="1110100").loc["reader, S-Verify"]
    assert table["value"].round(6).to_dict() == {
        ALL: round(400 / 7, 6),
        WITHIN: 62.5,  # (3/4 + 1/2) / 2
        ILL_YES: 75,
        ILL_NO: 50,
        NORMAL_NO: 0,
    }
    assert table["n"].to_dict() == {ALL: 7, WITHIN: 6, ILL_YES: 4, ILL_NO: 2, NORMAL_NO: 1}
    assert (table["ci_low"] <= table["value"]).all() and (table["value"] <= table["ci_high"]).all()


def test_always_yes_scores_50_within_illness():
    rows = rows_of(("i1", "yes"), ("i2", "yes"), ("i2", "no"), ("n1", "no"), ("n2", "yes"))
    table = table_of(rows, ill="11010")
    own = table.loc[("ill, S-Verify", WITHIN)]
    assert own["value"] == 50
    assert table.loc[("ill, S-Verify", ALL), "value"] == 60


def test_a_comparison_is_ill_where_both_are_and_a_mixed_one_is_in_no_stratum():
    rows = rows_of(
        ("i1 i2", "yes"), ("i1 n1", "no"), ("n1 n2", "no"), ("i2 i1", "no"), ("i1 x", "no"),
        kind="comparison_irrelevant-verify",
    )  # fmt: skip
    assert strata(rows, NORMAL).tolist() == [ILL_YES, "", NORMAL_NO, ILL_NO, ""]
    table = table_of(rows, reader="11111")
    assert table.loc[("reader, CI-Verify", ALL), "n"] == 5
    assert table.loc[("reader, CI-Verify", WITHIN), "n"] == 2


def test_not_sure_is_in_no_stratum_and_one_answer_among_the_ill_gives_no_balance():
    rows = rows_of(("i1", "yes"), ("i2", "not sure"), ("n1", "no"))
    assert strata(rows, NORMAL).tolist() == [ILL_YES, "", NORMAL_NO]
    assert np.isnan(table_of(rows, reader="111").loc[("reader, S-Verify", WITHIN), "value"])


def test_differences_are_paired_by_question_and_keep_their_sign():
    rows = rows_of(*[("i1", "yes"), ("i2", "yes"), ("i1", "no"), ("i2", "no")] * 5)
    table = table_of(rows, [("a", "b"), ("b", "a"), ("a", "a")], a="1110" * 5, b="1010" * 5)
    assert table.loc[("a - b, S-Verify", WITHIN), "value"] == 25
    assert table.loc[("b - a, S-Verify", WITHIN), "value"] == -25
    alone = table.loc[("a - a, S-Verify", WITHIN), ["value", "ci_low", "ci_high"]]
    assert alone.tolist() == [0, 0, 0]


def test_whole_patients_are_drawn():
    """All rows of one patient are alike, so more of them add no information."""
    few = [("i1", "yes"), ("i1", "no"), ("i2", "yes"), ("i2", "no")]
    one = table_of(rows_of(*few), reader="1100").loc[("reader, S-Verify", WITHIN)]
    many = table_of(rows_of(*few * 20), reader="1100" * 20).loc[("reader, S-Verify", WITHIN)]
    assert one[["value", "ci_low", "ci_high"]].equals(many[["value", "ci_low", "ci_high"]])
    assert (many["ci_low"], many["ci_high"]) == (0, 100)


def test_kinds_are_of_yes_no_questions_and_each_has_a_row():
    one, other = rows_of(("i1", "yes")), rows_of(("i1", "x"), kind="single-query")
    kinds = question_kinds(pd.concat([one, other]))
    assert list(kinds) == ["S-Verify", "S-Verify, specific"]
    assert [own.tolist() for own in kinds.values()] == [[True, False]] * 2
    two = rows_of(("i1 i2", "no"), kind="comparison_irrelevant-verify")
    kinds = question_kinds(pd.concat([one, other, two]))
    assert kinds[EVERY].tolist() == [True, False, True]
    assert kinds["CI-Verify"].tolist() == [False, False, True]


def test_answers_to_other_rows_are_refused():
    rows = rows_of(("i1", "yes"))
    with pytest.raises(DataError, match="answered other rows"):
        within_illness({"a": pd.Series([True])}, rows, NORMAL, PATIENTS)

"""Pairs, their audit and their controls."""

import numpy as np
import pandas as pd
import pytest
from questions_cohort import synthetic_records

from ecg_lib.errors import DataError
from ecg_lib.questions.bias import normal_ratio, question_only
from ecg_lib.questions.build import build_questions
from ecg_lib.questions.debias import audit, pair_verify, severity_weights, unpaired_control
from ecg_lib.questions.ecgqa import read_ecgqa
from ecg_lib.questions.schema import template_key, validate_rows


@pytest.fixture(scope="module")
def records():
    return synthetic_records(1500)


@pytest.fixture(scope="module")
def rows(records):
    return build_questions(records, seed=5, templates=[1, 2, 7, 12, 13, 26, 27, 44, 59])["train"]


@pytest.fixture(scope="module")
def normal(records):
    return records.set_index("ecg_id").normal


def test_each_question_says_yes_in_exactly_half_of_its_rows(rows):
    paired, pairs = pair_verify(rows, seed=0)
    yes = (
        paired.answer.str[0].eq("yes").groupby([template_key(paired), paired.question_type]).mean()
    )
    assert (yes == 0.5).all() and len(yes) > 40
    assert len(paired) == 2 * len(pairs) == len(validate_rows(paired))


def test_a_pair_is_one_yes_and_one_no_of_the_same_question(rows):
    paired, pairs = pair_verify(rows, seed=0)
    indexed = paired.assign(key=template_key(paired)).set_index("sample_id")
    yes, no = indexed.loc[pairs.yes_sample_id], indexed.loc[pairs.no_sample_id]
    assert (yes.key.to_numpy() == no.key.to_numpy()).all()
    assert set(yes.answer.str[0]) == {"yes"} and set(no.answer.str[0]) == {"no"}


def test_every_row_of_the_rarer_answer_is_used_once_and_not_sure_never(rows):
    paired, pairs = pair_verify(rows, seed=0)
    verify = rows.loc[rows.question_type.str.endswith("verify")]
    assert verify.answer.str[0].eq("not sure").any()
    assert not paired.answer.str[0].eq("not sure").any()
    counts = pd.crosstab([template_key(verify), verify.question_type], verify.answer.str[0])
    assert len(pairs) == counts[["yes", "no"]].min(axis=1).sum()
    assert paired.sample_id.is_unique


def test_pairs_hold_comparisons_and_only_verify(rows):
    types = set(pair_verify(rows, seed=0)[0].question_type)
    assert types == {
        "single-verify",
        "comparison_consecutive-verify",
        "comparison_irrelevant-verify",
    }


def test_same_seed_same_pairs_and_a_cap_holds(rows):
    first, again, other = (pair_verify(rows, seed=s)[1] for s in (0, 0, 1))
    assert first.equals(again) and not first.equals(other)
    capped, pairs = pair_verify(rows, seed=0, per_group_max=3)
    assert capped.groupby([template_key(capped), capped.question_type]).size().max() == 6


def test_the_real_shard_gives_3007_pairs_and_the_same_audit(real_data):
    rows = read_ecgqa(real_data / "ecg-qa")
    paired, pairs = pair_verify(rows, seed=0)
    assert (len(paired), len(pairs)) == (6_014, 3_007)
    table = audit(rows, paired, pd.Series(dtype=bool))
    assert len(table) == 43 and (table.pairs == 0).sum() == 1
    assert (table.pairs == table[["n_yes", "n_no"]].min(axis=1)).all()


def test_text_alone_scores_one_half_on_pairs_but_more_before(rows):
    paired, _ = pair_verify(rows, seed=0)
    before, after = (
        question_only(r, r).query("method == 'majority' and question_type == 'S-Verify'")
        for r in (rows, paired)
    )
    assert after.value.item() == 0.5 < before.value.item()


def test_the_audit_shows_that_pairing_leaves_severity_unequal(rows, normal):
    paired, _ = pair_verify(rows, seed=0)
    table = audit(rows, paired, normal)
    assert (table.yes_rate_after.dropna() == 0.5).all()
    disease = table.loc[
        table.question_key.str.contains("left ventricular")
        & table.question_key.str.endswith("single-verify")
    ]
    # A yes to a disease is never a normal ECG, so pairs cannot exceed one half.
    assert disease.normal_ratio_after.item() < 0.5
    comparisons = table.loc[table.question_key.str.contains("comparison")]
    assert comparisons.normal_ratio_before.isna().all()


def test_the_control_is_as_large_and_not_paired(rows):
    paired, _ = pair_verify(rows, seed=0, per_group_max=5)
    control = unpaired_control(rows, len(paired), seed=0)
    assert len(control) == len(paired) and control.sample_id.is_unique
    assert set(control.answer.str[0]) == {"yes", "no"}
    rate = control.answer.str[0].eq("yes").groupby(template_key(control)).mean()
    assert not (rate == 0.5).all()
    with pytest.raises(DataError, match="ask for fewer"):
        unpaired_control(rows, 10**6, seed=0)


def test_weights_make_severity_independent_of_the_question(rows, normal):
    weights = severity_weights(rows, normal, base=0.5)
    single = rows.loc[rows.question_type.eq("single-verify")]
    key, w = template_key(single), weights.loc[single.index]
    ill_or_well = single.ecg_id.str[0].map(normal).astype(float)
    ratio = (w * ill_or_well).groupby(key).sum() / w.groupby(key).sum()
    raw = ill_or_well.groupby(key).mean()
    mixed = raw.between(0, 1, inclusive="neither")
    np.testing.assert_allclose(ratio[mixed], 0.5, atol=1e-9)
    np.testing.assert_allclose(w.groupby(key).mean(), 1.0)
    assert raw.max() - raw.min() > 0.3
    assert (weights[rows.question_type.str.startswith("comparison")] == 1).all()


def test_ratios_carry_their_interval_and_leave_unknown_ecgs_out(rows, normal):
    table = normal_ratio(rows, normal, by="template_key")
    assert list(table.columns) == [
        "question",
        "template_id",
        "kind",
        "n",
        "ratio",
        "ci_low",
        "ci_high",
    ]
    assert (table.ci_low <= table.ratio).all() and (table.ratio <= table.ci_high).all()
    assert normal_ratio(rows, pd.Series(dtype=bool)).empty

"""Tests of pairs, their audit, their control and the alternatives to them."""

import numpy as np
import pandas as pd
import pytest
from questions_cohort import synthetic_records
from simulated_labels import simulated_records
from toy_rows import toy_rows

from ecg_lib.errors import DataError
from ecg_lib.questions.audit import METHODS, audit, audit_methods, audit_summary
from ecg_lib.questions.bias import normal_ratio, question_only
from ecg_lib.questions.build import build_questions
from ecg_lib.questions.debias import (
    effective_n,
    pair_verify,
    pair_within_severity,
    positivity,
    severity_weights,
    stratify_verify,
    unpaired_control,
    yes_or_no,
)
from ecg_lib.questions.ecgqa_rows import read_ecgqa
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


def test_pairs_within_severity_are_alike_in_being_normal_and_else_pairs(rows, normal):
    paired, pairs = pair_within_severity(rows, normal, seed=0)
    indexed = paired.assign(key=template_key(paired)).set_index("sample_id")
    yes, no = indexed.loc[pairs.yes_sample_id], indexed.loc[pairs.no_sample_id]
    assert (yes.key.to_numpy() == no.key.to_numpy()).all()
    assert set(yes.answer.str[0]) == {"yes"} and set(no.answer.str[0]) == {"no"}
    severity = [side.ecg_id.map(lambda ecgs: tuple(normal[list(ecgs)])) for side in (yes, no)]
    assert severity[0].tolist() == severity[1].tolist()
    assert {len(pair) for pair in severity[0]} == {1, 2}, "comparisons are paired as well"
    assert len(set(severity[0])) > 2, "both normal and not, and both answers of each"
    assert len(validate_rows(paired)) == 2 * len(pairs) < len(pair_verify(rows, seed=0)[0])


def test_within_severity_looking_ill_answers_nothing(rows, normal):
    def worth(paired):
        single = paired[paired.question_type == "single-verify"]
        ill = ~single.ecg_id.str[0].map(normal)
        return (ill == single.answer.str[0].eq("yes")).groupby(template_key(single)).mean()

    assert (worth(pair_within_severity(rows, normal, seed=0)[0]) == 0.5).all()
    assert worth(pair_verify(rows, seed=0)[0]).max() > 0.7, "pairs alone leave it"


def test_within_severity_an_ecg_of_unknown_severity_is_left_out(rows, normal):
    known = normal.iloc[: len(normal) // 2]
    paired, _ = pair_within_severity(rows, known, seed=0)
    assert len(paired) and set(paired.ecg_id.explode()) <= set(known.index)
    again, _ = pair_within_severity(rows, known, seed=0)
    pd.testing.assert_frame_equal(paired, again)


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
    # An ECG with a disease is never normal, so pairs cannot exceed one half.
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


# -- alternatives to pairs: a toy counted by hand --------------------------------------------


def toy():
    """Question 12 about 9 normal and 3 abnormal ECGs, 1 about 2 and 6, 2 about 4 normal ones.

    Normal ECGs answer no to 12 and 1. Abnormal ones all answer yes to 12, and half of them to 1.
    """
    plan = [(12, "no", True, 9), (12, "yes", False, 3), (1, "no", True, 2), (1, "yes", False, 3)]
    return toy_rows([*plan, (1, "no", False, 3), (2, "yes", True, 4)])


def test_weights_of_the_toy_are_those_of_equation_6():
    rows, normal = toy()
    weights = severity_weights(rows, normal, base=0.5)
    asked = rows.template_id
    assert weights[(asked == 12) & rows.ecg_id.str[0].map(normal)].unique() == pytest.approx(2 / 3)
    assert weights[(asked == 12) & ~rows.ecg_id.str[0].map(normal)].unique() == pytest.approx(2)
    yes = (weights * rows.answer.str[0].eq("yes")).groupby(asked).sum() / weights.groupby(
        asked
    ).sum()
    # sum over c of P(yes | q, c) P(c): 0 * 1/2 + 1 * 1/2, and 0 * 1/2 + 1/2 * 1/2
    assert yes[12] == pytest.approx(0.5) and yes[1] == pytest.approx(0.25)
    assert (weights[asked == 2] == 1).all(), "nothing to adjust with"


def test_unstabilised_weights_let_all_questions_count_alike():
    rows, normal = toy()
    stable, plain = (
        severity_weights(rows, normal, 0.5, stabilised=s, one_stratum="drop") for s in (True, False)
    )
    by_question = [w.groupby(rows.template_id).sum() for w in (stable, plain)]
    assert by_question[0].to_dict() == pytest.approx({1: 8, 2: 0, 12: 12})
    assert by_question[1].to_dict() == pytest.approx({1: 10, 2: 0, 12: 10})
    # 1 / P(x | c) up to one constant: P(12 | abnormal) under the base is 12/20 * 3/12 / (1/2)
    inverse = {12: 1 / (12 / 20 * 0.25 / 0.5), 1: 1 / (8 / 20 * 0.75 / 0.5)}
    ill = ~rows.ecg_id.str[0].map(normal)
    ratio = [plain[ill & (rows.template_id == t)].iloc[0] / inverse[t] for t in (12, 1)]
    assert ratio[0] == pytest.approx(ratio[1])


def test_truncated_weights_vary_less_and_no_longer_equal_the_base():
    rows, normal = toy()
    rows = rows[rows.template_id != 2]
    whole, cut = (severity_weights(rows, normal, 0.4, truncate=t) for t in (0.0, 0.2))
    # Weights: 9 of 0.4 / 0.75, 6 of 0.6 / 0.75, 2 of 0.4 / 0.25, 3 of 0.6 / 0.25. The last are cut.
    assert sorted(whole.round(3).unique()) == [0.533, 0.8, 1.6, 2.4]
    assert sorted(cut.round(3).unique()) == [0.533, 0.8, 1.6]
    assert effective_n(cut) > effective_n(whole)
    well, asked = rows.ecg_id.str[0].map(normal), rows.template_id == 12
    share = [(w * well)[asked].sum() / w[asked].sum() for w in (whole, cut)]
    assert share == pytest.approx([0.4, 0.5])


def test_a_question_asked_of_one_stratum_is_named_dropped_or_kept():
    rows, normal = toy()
    table = positivity(rows, normal).set_index("n")
    assert table.loc[[12, 8, 4], ["n_normal", "n_abnormal"]].to_numpy().tolist() == [
        [9, 3],
        [2, 6],
        [4, 0],
    ]
    assert table.holds.to_dict() == {12: True, 8: True, 4: False}
    one = rows.template_id == 2
    assert (severity_weights(rows, normal, one_stratum="drop")[one] == 0).all()
    assert (severity_weights(rows, normal)[one] == 1).all()
    with pytest.raises(DataError, match=r"2 \| 2000.* one stratum"):
        severity_weights(rows, normal, one_stratum="refuse")
    severity_weights(rows[~one], normal, one_stratum="refuse")


def test_effective_rows_are_all_rows_where_weights_are_equal():
    assert effective_n(pd.Series([2.0] * 7)) == pytest.approx(7)
    assert effective_n(pd.Series([1.0, 0.0, 0.0])) == 1
    assert effective_n(pd.Series([3.0, 1.0])) == pytest.approx(16 / 10)
    assert effective_n(pd.Series([0.0, 0.0])) == 0


def test_impossible_settings_are_named():
    rows, normal = toy()
    for base in (0.0, 1.0, 1.5):
        with pytest.raises(DataError, match="between 0 and 1"):
            severity_weights(rows, normal, base)
        with pytest.raises(DataError, match="between 0 and 1"):
            stratify_verify(rows, normal, 0, base)
    with pytest.raises(DataError, match="truncate 0.5"):
        severity_weights(rows, normal, truncate=0.5)
    with pytest.raises(DataError, match="one_stratum 'skip'"):
        severity_weights(rows, normal, one_stratum="skip")
    with pytest.raises(DataError, match="audit by 'wording'"):
        audit_methods(rows, normal, 0, by="wording")


def test_strata_of_the_toy_are_as_large_as_the_rarer_one_allows():
    rows, normal = toy()
    drawn = stratify_verify(rows, normal, seed=0, base=0.5)
    counts = pd.crosstab(drawn.template_id, drawn.ecg_id.str[0].map(normal))
    assert counts.to_dict() == {False: {1: 2, 12: 3}, True: {1: 2, 12: 3}}
    fewer = stratify_verify(rows, normal, seed=0, base=0.9)
    assert pd.crosstab(fewer.template_id, fewer.ecg_id.str[0].map(normal)).loc[12].tolist() == [
        1,
        9,
    ]


def test_the_audit_of_the_toy_can_be_done_by_hand():
    rows, normal = toy()
    table = audit_methods(rows, normal, seed=0, by="question", base=0.5)
    assert len(table) == 3 * len(METHODS)
    found = table.assign(template=table.group.str.split(" ").str[0].astype(int))
    found = found.set_index(["template", "method"])
    columns = ["n", "yes_rate", "normal_ratio"]
    assert found.loc[(12, "as asked"), columns].tolist() == [12, 0.25, 0.75]
    assert found.loc[(12, "pairs"), columns].tolist() == [6, 0.5, 0.5]
    assert found.loc[(12, "strata"), columns].tolist() == [6, 0.5, 0.5]
    assert found.loc[(12, "weights"), columns].tolist() == pytest.approx([12, 0.5, 0.5])
    assert found.loc[(12, "weights"), "n_effective"] == pytest.approx(9)  # 12^2 / (9 * 4/9 + 3 * 4)
    assert found.loc[(1, "weights"), columns].tolist() == pytest.approx([8, 0.25, 0.5])
    lost = found.loc[[(2, "pairs"), (2, "strata"), (2, "weights")]]
    assert (lost.n == 0).all() and lost[columns[1:]].isna().all(axis=None)
    assert found.xs("control", level="method").n.sum() == found.xs("pairs", level="method").n.sum()


# -- alternatives to pairs: a simulated cohort -----------------------------------------------


@pytest.fixture(scope="module")
def simulated():
    """Training rows of a simulated cohort, its normal ECGs, their share, and both audits."""
    records = simulated_records()
    templates = [1, 2, 12, 13, 15, 27, 29, 57]
    rows = build_questions(records, world="nature", seed=1, templates=templates)["train"]
    normal, base = records.set_index("ecg_id").normal, records.normal.mean()
    audits = {by: audit_methods(rows, normal, 0, by, base) for by in ("kind", "question")}
    return rows, normal, base, audits


def test_strata_hold_the_base_share_in_every_question_and_invent_no_row(simulated):
    rows, normal, base, _ = simulated
    drawn = stratify_verify(rows, normal, seed=0, base=base)
    original = rows.set_index("sample_id").loc[drawn.sample_id].reset_index()[list(rows.columns)]
    assert drawn.sample_id.is_unique and validate_rows(drawn).equals(original)
    assert set(drawn.answer.str[0]) == {"yes", "no"}
    single = drawn[drawn.question_type == "single-verify"]
    well = single.ecg_id.str[0].map(normal).groupby(template_key(single)).agg(["sum", "size"])
    assert ((well["sum"] - base * well["size"]).abs() < 1).all() and len(well) > 30
    assert abs(well["sum"].sum() - base * len(single)) < 0.02 * len(single), "no drift by rounding"
    compared = drawn.question_type.str.startswith("comparison").sum()
    assert compared == yes_or_no(rows).question_type.str.startswith("comparison").sum()


def test_strata_repeat_by_seed_and_leave_unknown_ecgs_out(simulated):
    rows, normal, base, _ = simulated
    first, again, other = (stratify_verify(rows, normal, s, base) for s in (0, 0, 1))
    assert first.equals(again) and not first.equals(other)
    unknown = stratify_verify(rows, normal.iloc[:0], 0)
    assert set(unknown.question_type) == {"comparison_irrelevant-verify"}


def test_each_method_levels_what_it_promises_and_not_the_other(simulated):
    _, _, base, audits = simulated
    table = audits["question"]
    one = table[(table.kind != "comparison") & (table.n > 0)]
    yes, well = (one.groupby("method")[c].agg(["min", "max"]) for c in ("yes_rate", "normal_ratio"))
    assert yes.loc["pairs"].tolist() == [0.5, 0.5]
    assert well.loc["weights"].tolist() == pytest.approx([base, base], abs=1e-12)
    # Each method leaves the other quantity unequal.
    assert well.loc["pairs", "max"] - well.loc["pairs", "min"] > 0.3
    for method in ("strata", "weights"):
        assert yes.loc[method, "max"] - yes.loc[method, "min"] > 0.2


def test_what_a_question_still_tells_is_counted_in_bits(simulated):
    summary = audit_summary(simulated[3]["question"])
    assert list(summary.index) == list(METHODS)
    assert summary.loc["pairs", "yes_bits"] == 0 and summary.loc["weights", "normal_bits"] < 1e-9
    assert summary.loc["strata", "normal_bits"] < summary.loc["strata", "chance_bits"]
    asked = summary.loc["as asked"]
    assert summary.loc["pairs", "normal_bits"] > 3 * summary.loc["pairs", "chance_bits"]
    assert summary.loc["weights", "normal_bits"] < asked.normal_bits > asked.chance_bits
    assert (summary.effective <= summary.rows + 1e-9).all()
    assert summary.loc["weights", "effective"] < summary.loc["weights", "rows"]
    assert summary.loc["control", "yes_bits"] > 0.5 * asked.yes_bits, "the control is not balanced"


def test_kinds_keep_their_ratio_under_pairs_and_meet_under_weights(simulated):
    _, _, base, audits = simulated
    table = audits["kind"].set_index(["kind", "method"])
    for method in ("as asked", "pairs", "control"):
        assert table.normal_low["broad", method] > base
    for kind in ("broad", "specific", "noise"):
        assert table.normal_ratio[kind, "weights"] == pytest.approx(base)
        assert table.normal_ratio[kind, "strata"] == pytest.approx(base, abs=0.05)
    each = audits["question"].query("kind == 'specific'").groupby("method").normal_ratio.std()
    assert (each[["as asked", "pairs", "control"]] > 0.1).all() and each["weights"] < 1e-9


def test_shares_that_a_method_fixes_have_no_interval_and_others_do(simulated):
    table = simulated[3]["kind"].query("kind != 'comparison'").set_index(["kind", "method"])
    free = table.yes_low.drop(index="pairs", level="method")
    assert free.notna().all() and table.yes_low.xs("pairs", level="method").isna().all()
    for method in METHODS:
        fixed = method in ("strata", "weights")
        assert table.normal_low.xs(method, level="method").isna().all() == fixed
    known = table.dropna(subset="yes_low")
    assert ((known.yes_low < known.yes_rate) & (known.yes_rate < known.yes_high)).all()


def test_the_real_shard_can_be_audited_without_labels(real_data):
    rows = read_ecgqa(real_data / "ecg-qa").head(3000)
    table = audit_methods(rows, pd.Series(dtype=bool), seed=0).set_index("method")
    assert table.normal_ratio.isna().all() and (table.yes_rate["pairs"] == 0.5).all()

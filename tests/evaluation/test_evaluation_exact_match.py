"""Test exact match: what counts as the same answer."""

import ast

import numpy as np
import pandas as pd
import pytest

from ecg_lib.errors import DataError
from ecg_lib.evaluation.exact_match import (
    HEADLINE,
    RULES,
    by_question_type,
    by_rule,
    closed_vocabulary_set,
    is_correct,
    normalised_set,
    normalised_string,
    parse_prediction,
    score,
    strict_string,
)
from ecg_lib.questions.schema import SHORT_NAMES

LEADS = [f"lead {n}" for n in "I II III aVR aVL aVF V1 V2 V3 V4 V5 V6".split()] + ["none"]
BIGEMINAL = "bigeminal pattern (unknown origin, supraventricular, or ventricular)"
BLOCKS = [
    "non-specific intraventricular conduction disturbance (block)",
    "first degree av block",
    "second degree av block",
    "complete left bundle branch block",
    "incomplete left bundle branch block",
    "left anterior fascicular block",
    "none",
]


def verdicts(prediction, gold, classes=()):
    return tuple(is_correct(prediction, gold, rule, classes) for rule in RULES)


def question(answer, question_type="single-query", template_id=8, attribute=None, kind="scp_code"):
    return {
        "template_id": template_id,
        "question_type": question_type,
        "attribute_type": kind,
        "question": "?",
        "answer": answer,
        "ecg_id": ["ptbxl/00001"],
        "attribute": attribute,
    }


def test_the_gold_text_itself_is_correct_under_every_rule():
    assert verdicts("lead I; lead V5", ["lead I", "lead V5"], LEADS) == (True,) * 4


def test_order_counts_for_strings_and_not_for_sets():
    assert verdicts("lead V5; lead I", ["lead I", "lead V5"], LEADS) == (False, False, True, True)


def test_case_space_and_full_stop_cost_only_the_strict_string():
    assert verdicts(" Lead  AVF. ", ["lead aVF"], LEADS) == (False, True, True, True)


def test_compatibility_characters_are_normalised():
    assert verdicts("ＳＴ／Ｔ  change！", ["st/t change"]) == (False, True, True, True)


def test_a_vocabulary_of_another_release_may_be_given():
    rows = pd.DataFrame([question(["Myocardial infarction"], template_id=999)])
    scored = score(pd.Series(["sign of Myocardial infarction"]), rows, lambda row: ["old"])
    assert scored[list(RULES)].iloc[0].tolist() == [False, False, False, True]


@pytest.mark.parametrize("comma", [", ", " , ", ", and ", " and "])
def test_a_comma_joined_list_is_read_as_a_set(comma):
    text = comma.join(["lead III", "lead I", "lead II"])
    assert parse_prediction(text, LEADS) == {"lead i", "lead ii", "lead iii"}


@pytest.mark.parametrize(
    ("said", "meant"), [("I", "II"), ("II", "III"), ("III", "II"), ("I", "V1")]
)
def test_leads_whose_names_begin_alike_are_different_leads(said, meant):
    assert verdicts(f"lead {said}", [f"lead {meant}"], LEADS)[:3] == (False,) * 3
    assert not is_correct(f"lead {said}", [f"lead {meant}"], "closed-vocabulary set", LEADS)


def test_a_label_with_commas_stays_one_label():
    classes = [BIGEMINAL, "trigeminal pattern (unknown origin, supraventricular, or ventricular)"]
    assert parse_prediction(BIGEMINAL) == {BIGEMINAL}
    assert parse_prediction(f"sinus rhythm, {BIGEMINAL}", [*classes, "sinus rhythm"]) == {
        "sinus rhythm",
        BIGEMINAL,
    }


def test_block_inside_a_longer_label_is_not_another_label():
    text = "incomplete left bundle branch block"
    assert parse_prediction(text, BLOCKS) == {text}
    assert not is_correct(text, ["complete left bundle branch block"], RULES[3], BLOCKS)
    both = f"{BLOCKS[0]}, {BLOCKS[1]}"
    assert parse_prediction(both, BLOCKS) == set(BLOCKS[:2])


def test_one_label_too_many_or_too_few_is_wrong():
    assert verdicts("lead I", ["lead I", "lead II"], LEADS) == (False,) * 4
    assert verdicts("lead I; lead II", ["lead I"], LEADS) == (False,) * 4


def test_a_repeated_label_counts_once():
    assert is_correct("lead I; lead I", ["lead I"], HEADLINE, LEADS)


def test_none_is_the_empty_set_only_where_classifiers_are_compared():
    assert verdicts("none", ["none"], LEADS) == (True,) * 4
    assert verdicts("none; lead I", ["lead I"], LEADS) == (False, False, False, True)


@pytest.mark.parametrize("silence", ["", "  ", ".", ";"])
def test_silence_is_never_correct(silence):
    assert not any(verdicts(silence, ["none"], LEADS))


def test_not_sure_is_neither_yes_nor_no():
    classes = ["yes", "no", "not sure"]
    assert verdicts("not sure", ["not sure"], classes) == (True,) * 4
    assert verdicts("not sure", ["no"], classes) == (False,) * 4


def test_words_around_the_answer_are_forgiven_only_by_the_closed_vocabulary():
    text = "Yes. It shows a rabbit ear pattern"
    assert verdicts(text, ["yes"], ["yes", "no"]) == (False, False, False, True)


def test_a_denied_label_is_not_read_as_the_label():
    assert parse_prediction("no lead I", LEADS) == {"no lead i"}


def test_a_misspelt_label_is_forgiven_only_by_the_closed_vocabulary():
    verdict = verdicts("first degre av block", ["first degree av block"], BLOCKS)
    assert verdict == (False, False, False, True)
    assert not is_correct("pizza", ["none"], "closed-vocabulary set", BLOCKS)


def test_rules_are_ordered_from_harshest_to_most_lenient_on_real_classes(real_data):
    table = pd.read_csv(real_data / "ecg-qa" / "ptbxl" / "answers_for_each_template.csv")
    rng = np.random.default_rng(0)
    for classes in table["classes"].map(ast.literal_eval):
        labels = [c for c in classes if c != "none"]
        gold = list(rng.permutation(labels)[: rng.integers(1, 5)])
        for joiner in ("; ", ", "):
            shuffled = joiner.join(rng.permutation(gold))
            assert is_correct(shuffled, gold, HEADLINE, classes), shuffled
            assert is_correct(shuffled, gold, "closed-vocabulary set", classes), shuffled
        verdict = verdicts("; ".join(gold).upper(), gold, classes)
        assert list(verdict) == sorted(verdict)
        wrong = gold[1:] or ["something else"]
        assert not any(verdicts("; ".join(wrong), gold, classes)[:3])


def test_score_adds_a_column_per_rule_and_reads_choose_options():
    rows = pd.DataFrame(
        [
            question(
                ["below the normal range"],
                "single-choose",
                40,
                ["below the normal range of pr interval", "above the normal range of pr interval"],
                "numeric_feature",
            ),
            question(["lead I", "lead II"], template_id=19),
        ],
        index=[7, 3],
    )
    predictions = pd.Series(["Below the normal range of it", "lead II, lead I"], index=[7, 3])
    scored = score(predictions, rows)
    assert scored.loc[7, list(RULES)].tolist() == [False, False, False, True]
    assert scored.loc[3, list(RULES)].tolist() == [False, False, True, True]
    assert list(rows.columns) == [c for c in scored if c in rows]


def test_score_refuses_predictions_of_other_rows():
    rows = pd.DataFrame([question(["yes"])])
    with pytest.raises(DataError, match="index differs"):
        score(pd.Series(["yes"], index=[5]), rows)


def test_a_missing_prediction_is_wrong():
    rows = pd.DataFrame([question(["none"])])
    assert not score(pd.Series([None]), rows)[list(RULES)].to_numpy().any()


def test_accuracy_is_told_for_all_seven_types_with_its_n():
    kinds = ["single-verify"] * 4 + ["comparison_irrelevant-query"]
    rows = pd.DataFrame([question(["yes"], k) for k in kinds])
    scored = score(pd.Series(["yes", "yes", "yes", "no", "yes"]), rows)
    table = by_question_type(scored).set_index("column")
    assert list(table.index) == list(SHORT_NAMES.values())
    assert table.loc["S-Verify", ["value", "n"]].tolist() == [75.0, 4]
    assert table.loc["S-Verify", "ci_low"] < 75 < table.loc["S-Verify", "ci_high"]
    assert np.isnan(table.loc["CC-Query", "value"]) and table.loc["CC-Query", "n"] == 0


# -- known pitfalls of ECG-QA's answers, through the public functions of the rules ------------

REGULAR = "normal sinus rhythm"
STAGES = [f"{stage} stage of myocardial infarction" for stage in ("early", "middle", "old")]
GOLDEN = [  # said, gold, classes, (strict string, normalised string, normalised set, closed set)
    (
        "late stage of myocardial infarction",
        ["old stage of myocardial infarction"],
        STAGES,
        (False, False, False, True),
    ),  # v1.0.0 said "late" where later releases say "old"
    (
        "early stage of myocardial infarction",
        ["old stage of myocardial infarction"],
        STAGES,
        (False, False, False, False),
    ),
    ("none", ["none"], LEADS, (True, True, True, True)),
    ("none", ["lead I"], LEADS, (False, False, False, False)),
    ("lead I", ["none"], LEADS, (False, False, False, False)),
    ("lead V5; lead I", ["lead I", "lead V5"], LEADS, (False, False, True, True)),
    (BIGEMINAL, [BIGEMINAL], (), (True, True, True, True)),  # commas, parentheses: one label
    (BIGEMINAL.upper(), [BIGEMINAL], (), (False, True, True, True)),
    (
        f"{REGULAR}; {BIGEMINAL}",
        [BIGEMINAL, REGULAR],
        (BIGEMINAL, REGULAR),
        (False, False, True, True),
    ),
    (
        f"{REGULAR}, {BIGEMINAL}",
        [BIGEMINAL, REGULAR],
        (BIGEMINAL, REGULAR),
        (False, False, True, True),
    ),
    (
        "below the normal range of pr interval",
        ["below the normal range"],
        ("below the normal range", "above the normal range"),
        (False, False, False, True),
    ),
    ("Yes", ["yes"], ("yes", "no", "not sure"), (False, True, True, True)),
    (" yes", ["yes"], ("yes", "no", "not sure"), (False, True, True, True)),
    ("not sure", ["not sure"], ("yes", "no", "not sure"), (True, True, True, True)),
    ("no", ["not sure"], ("yes", "no", "not sure"), (False, False, False, False)),
]


@pytest.mark.parametrize(("said", "gold", "classes", "verdict"), GOLDEN)
def test_golden_cases_by_the_rules_own_functions(said, gold, classes, verdict):
    own = (
        strict_string(said, gold),
        normalised_string(said, gold),
        normalised_set(said, gold, classes),
        closed_vocabulary_set(said, gold, classes),
    )
    assert own == verdict == verdicts(said, gold, classes)


def test_all_types_together_are_told_by_every_rule():
    rows = pd.DataFrame([question(["lead I", "lead II"], template_id=19)] * 4)
    said = pd.Series(["lead I; lead II", "Lead I; lead II", "lead II; lead I", "lead I"])
    table = by_rule(score(said, rows)).set_index("column")
    assert table["value"].to_dict() == dict(zip(RULES, [25.0, 50.0, 75.0, 75.0], strict=True))
    assert (table["n"] == 4).all() and (table["ci_low"] < table["value"]).all()

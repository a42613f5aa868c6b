"""Tests that every claim of the paper gets an explicit verdict from numbers in tables."""

import dataclasses
import math

import pandas as pd
import pytest

from ecg_lib.config import compose
from ecg_lib.report.claims import claim_list, verdicts
from ecg_lib.report.claims.claim_list import CLAIMS, Setting, Tables
from ecg_lib.report.claims.claims_table import COLUMNS, judge, write_claims
from ecg_lib.report.claims.verdicts import FAILS, HOLDS, UNTESTABLE, Number
from ecg_lib.report.provenance import Provenance
from ecg_lib.report.reference import LABELS, MODEL, QUESTION_TYPES, paper_table
from ecg_lib.report.tables import tidy, write_table

STAMP = Provenance("made-up", "p", "d", "c", "1")
BY_KEY = {claim.key: claim for claim in CLAIMS}
RET, QA = "random_ecg_differences", "ecgqa_differences"


def number(value, half=1.0, n=100.0):
    return Number("x", value, value - half, value + half, n)


UP, DOWN, ZERO, FEW = number(5), number(-5), number(0.2), number(5, n=5)
NONE = Number("x", math.nan, n=0)


@pytest.mark.parametrize(
    ("rule", "numbers", "verdict"),
    [
        (verdicts.above_zero, [UP], HOLDS),
        (verdicts.above_zero, [DOWN], FAILS),
        (verdicts.above_zero, [ZERO], FAILS),
        (verdicts.above_zero, [UP, ZERO], FAILS),
        (verdicts.above_zero, [UP, FEW], UNTESTABLE),
        (verdicts.above_zero, [NONE], UNTESTABLE),
        (verdicts.above_zero, [], UNTESTABLE),
        (verdicts.below_zero, [DOWN], HOLDS),
        (verdicts.below_zero, [UP], FAILS),
        (verdicts.below_zero, [ZERO], FAILS),
        (verdicts.most_above_zero, [UP, UP, DOWN], HOLDS),
        (verdicts.most_above_zero, [UP, ZERO], FAILS),
        (verdicts.most_above_zero, [UP, UP, FEW], HOLDS),
        (verdicts.most_above_zero, [UP, FEW], UNTESTABLE),
        (verdicts.most_above_zero, [], UNTESTABLE),
        (verdicts.near_zero, [ZERO], HOLDS),
        (verdicts.above_zero, [number(2, half=6)], UNTESTABLE),
        (verdicts.above_zero, [number(-2, half=6)], FAILS),
        (verdicts.above_zero, [UP, number(2, half=6)], UNTESTABLE),
        (verdicts.above_zero, [ZERO, number(2, half=6)], FAILS),
        (verdicts.below_zero, [number(-2, half=6)], UNTESTABLE),
        (verdicts.below_zero, [number(2, half=6)], FAILS),
        (verdicts.near_zero, [number(0, half=6)], UNTESTABLE),
        (verdicts.near_zero, [number(4, half=3)], FAILS),
        (verdicts.near_zero, [number(20)], FAILS),
        (verdicts.near_zero, [FEW], UNTESTABLE),
    ],
)
def test_rules_say_when_a_claim_holds(rule, numbers, verdict):
    judged = rule(numbers)
    assert judged.verdict == verdict
    assert judged.why


def test_the_reason_tells_the_opposite_from_no_difference():
    assert "opposite" in verdicts.above_zero([DOWN]).why
    assert "includes zero" in verdicts.above_zero([ZERO]).why
    assert "opposite" in verdicts.below_zero([UP]).why


def test_an_interval_that_touches_zero_does_not_exclude_it():
    assert verdicts.above_zero([Number("x", 1.0, 0.0, 2.0, 100)]).verdict == FAILS
    assert verdicts.below_zero([Number("x", -1.0, -2.0, 0.0, 100)]).verdict == FAILS


def test_published_values_are_reached_only_where_all_lie_in_our_intervals():
    ours = [dataclasses.replace(number(50, 2), column=c) for c in "ab"]
    paper = [Number("x", v, column=c) for v, c in ((51, "a"), (49, "b"))]
    assert verdicts.contains(ours, paper).verdict == HOLDS
    assert verdicts.contains(ours, [paper[0], Number("x", 60, column="b")]).verdict == FAILS
    assert verdicts.contains(ours, []).verdict == UNTESTABLE


def test_the_difference_of_independent_numbers_has_the_wider_interval():
    a, b = number(60, half=3.0), number(50, half=4.0)
    difference = verdicts.minus(a, b)
    assert (difference.low, difference.value, difference.high) == (5.0, 10.0, 15.0)


# -- the claims themselves, on made-up tables ------------------------------------------------


def cell(row, column, value, half=1.0, n=200):
    return {
        "row": row,
        "column": column,
        "value": value,
        "n": n,
        "ci_low": value - half,
        "ci_high": value + half,
    }


def write(folder, table, *cells):
    write_table(table, tidy(table, cells, STAMP), folder, table, "made up")


def paper_like(folder, sign=1):
    """Write tables in which every claim clearly holds (sign 1) or clearly fails (-1)."""
    s = sign
    write(
        folder,
        "table1_bias",
        cell("all broad questions", "broad", 50 + 30 * s),
        cell("all specific questions", "specific", 50 - 25 * s),
    )
    write(
        folder,
        "question_only",
        cell("words, valid", "S-Verify", 60 + 10 * s),
        cell("words, dev", "S-Verify", 60 - 10 * s),
    )
    gap = 0 if s > 0 else 40
    write(
        folder,
        "debias_audit",
        cell("broad, pairs", "normal", 50 + gap),
        cell("specific, pairs", "normal", 50),
    )
    others = (claim_list.FUSION, claim_list.TAGGER, claim_list.MAJORITY, claim_list.BLIND)
    write(
        folder,
        QA,
        *(
            cell(f"{MODEL} - {other}", column, 8 * s)
            for other in others
            for column in (*QUESTION_TYPES, "all")
        ),
    )
    published = paper_table("table3").query("row == @MODEL")
    write(
        folder,
        "table3_ecgqa",
        *(
            cell(MODEL, c, v - (0.2 if s > 0 else 20))
            for c, v in published[["column", "value"]].to_numpy()
        ),
    )
    drop, plain = 10.0, (1.0 if s > 0 else 30.0)
    a, b, c = claim_list.DEBIASED, claim_list.PLAIN, claim_list.CONTROL
    write(
        folder,
        RET,
        cell(f"{a}, drop", "average", drop),
        cell(f"{a}, matched drop", "average", 3 * s),
        cell(f"{b}, drop", "average", plain),
        cell(f"{a} - {b}, original ECG", "average", 5 * s),
        cell(f"{a} - {c}, original ECG", "average", 4 * s),
        cell(f"{a} - {b}, drop", "average", drop - plain),
        cell(f"{a} - {b}, random ECG", "average", -5 * s),
    )
    write(
        folder,
        "table4_zero_shot",
        *(
            cell(f"{method}, Elsewhere", label, 50 + s * (30 if method == MODEL else 20), n=12)
            for method in (MODEL, "CLIP")
            for label in LABELS
        ),
    )


@pytest.fixture(params=[1, -1], ids=["as claimed", "the opposite"])
def made_up(request, tmp_path):
    paper_like(tmp_path, request.param)
    return request.param, tmp_path


def test_every_claim_but_one_holds_or_fails_with_its_numbers(made_up):
    sign, folder = made_up
    judged = {c.key: judge(c, Tables(folder), Setting()).verdict.verdict for c in CLAIMS}
    expected = dict.fromkeys(judged, HOLDS if sign > 0 else FAILS)
    expected["random ECG"] = HOLDS  # holds in both: other claims presuppose it
    assert judged == expected


@pytest.mark.parametrize(
    "setting", [Setting(built=True), Setting(llama=False), Setting(unseen=False)]
)
def test_what_a_setting_cannot_test_is_not_judged_whatever_the_numbers(made_up, setting):
    _, folder = made_up
    keys = {
        c.key for c in CLAIMS if judge(c, Tables(folder), setting).verdict.verdict == UNTESTABLE
    }
    wanted = {"built": "confounding", "llama": "published level", "unseen": "zero-shot"}
    changed = [f for f in wanted if getattr(setting, f) != getattr(Setting(), f)]
    assert keys == {wanted[f] for f in changed}


def test_without_tables_nothing_is_testable(tmp_path):
    verdict = {judge(c, Tables(tmp_path), Setting()).verdict.verdict for c in CLAIMS}
    assert verdict == {UNTESTABLE}


def test_an_arm_that_is_blind_says_nothing_where_no_arm_sees(tmp_path):
    blind = [
        cell(f"{arm}, drop", "average", 0.0) for arm in (claim_list.DEBIASED, claim_list.PLAIN)
    ]
    write(tmp_path, RET, *blind)
    judged = judge(BY_KEY["blind without"], Tables(tmp_path), Setting())
    assert judged.verdict.verdict == UNTESTABLE and "no arm" in judged.verdict.why
    assert judge(BY_KEY["random ECG"], Tables(tmp_path), Setting()).verdict.verdict == FAILS


def test_data_that_training_drew_from_are_no_zero_shot(made_up):
    _, folder = made_up
    judged = judge(BY_KEY["zero-shot"], Tables(folder, seen=("Elsewhere",)), Setting())
    assert judged.verdict.verdict == UNTESTABLE and not judged.ours


def test_published_numbers_are_the_paper_s_own(tmp_path):
    def paper(key):
        return {n.column: n.value for n in BY_KEY[key].paper(Tables(tmp_path))}

    assert paper("ablation") == {"average": 12.2}
    assert paper("random ECG") == {"average": 18.2} and paper("blind without") == {"average": 2.0}
    assert paper("larger drop") == {"average": 16.2} and paper("misled") == {"average": -4.0}
    assert paper("classifiers")["CC-Query"] == -3.2
    assert sum(n.value > 0 for n in BY_KEY["zero-shot, CLIP"].paper(Tables(tmp_path))) == 25


def test_written_claims_trace_every_number_to_its_cell(made_up):
    _, folder = made_up
    summary = write_claims(folder, Setting(), "made up", STAMP)
    lines = pd.read_csv(folder / "claims.csv", keep_default_na=False)
    assert list(lines.columns) == list(COLUMNS) and list(lines["claim"].unique()) == list(BY_KEY)
    row = lines.query("claim == 'ablation' and source == 'ours'").iloc[0]
    table = pd.read_csv(folder / f"{row['table']}.csv").set_index(["row", "column"])
    assert float(row["value"]) == table.loc[(row["row"], row["column"]), "value"]
    assert set(lines["params_hash"]) == {"p"} and set(summary["verdict"]) <= {HOLDS, FAILS}
    text = (folder / "claims.md").read_text()
    assert all(claim.statement in text for claim in CLAIMS)
    first = (folder / "claims.csv").read_bytes(), text
    write_claims(folder, Setting(), "made up", STAMP)
    assert first == ((folder / "claims.csv").read_bytes(), (folder / "claims.md").read_text())


def test_settings_come_from_the_profile():
    demo = Setting.of(compose("demo"))
    assert demo.built and not demo.llama and not demo.unseen
    paper = Setting.of(compose("paper", ["data.root=/a"]))
    assert not paper.built and paper.llama and paper.unseen and paper.seen == ("PTB-XL",)

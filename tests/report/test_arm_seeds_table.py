"""Tests of the table of arms over seeds, against values computed by hand, and of its figure."""

from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ecg_lib.arm_table import CONTROL, DEBIASED
from ecg_lib.evaluation.differences import AVERAGE
from ecg_lib.evaluation.random_ecg import DROP, ORIGINAL
from ecg_lib.evaluation.severity_strata import WITHIN
from ecg_lib.report import style
from ecg_lib.report.arm_seeds_table import (
    ASKED,
    INTERVENTIONAL,
    MATCHED,
    MATCHED_DROP,
    RANDOM,
    seeds_table,
)
from ecg_lib.report.figures.seeds_plot import arm_seeds

Run = namedtuple("Run", "arm seed whole")
# Eight questions about one ECG and two comparisons. ECGs 0-3 are normal.
ECGS = [["0"], ["1"], ["2"], ["4"], ["5"], ["6"], ["7"], ["8"], ["4", "5"], ["6", "7"]]
ANSWERS = ["yes", "no", "no", "yes", "yes", "yes", "yes", "no", "yes", "no"]
ROWS = pd.DataFrame(
    {
        "ecg_id": ECGS,
        "answer": [[a] for a in ANSWERS],
        "question_type": ["single-verify"] * 8 + ["comparison_consecutive-verify"] * 2,
        "template_id": 1,
        "question_id": 1000,
        "attribute_type": "scp_code",
        "attribute": None,
        "question": "Is it there?",
    }
)
NORMAL = pd.Series({str(k): k < 4 for k in range(9)})
ALL, NOBODY = [1] * 10, [0] * 10


def right(asked, random, neutral):
    parts = {ASKED: asked, RANDOM: random, MATCHED: asked, INTERVENTIONAL: neutral}
    return {test: pd.Series(values, dtype=bool) for test, values in parts.items()}


@pytest.fixture(scope="module")
def table():
    no_wrong = [1, 1, 1, 1, 1, 1, 1, 0, 1, 0]  # wrong on every no of an ill ECG
    outcomes = SimpleNamespace(
        tests=dict.fromkeys((ASKED, RANDOM, MATCHED, INTERVENTIONAL), ROWS),
        right={
            Run(DEBIASED.key, 42, False): right(ALL, NOBODY, no_wrong),
            Run(DEBIASED.key, 1, True): right([1] * 4 + [0] * 6, NOBODY, no_wrong),
            Run(CONTROL.key, 42, False): right([1] * 6 + [0] * 4, NOBODY, ALL),
            Run(CONTROL.key, 1, True): right(NOBODY, NOBODY, NOBODY),
        },
        normal=NORMAL,
        patients=pd.Series({str(k): f"p{k // 2}" for k in range(9)}),
    )
    return seeds_table(outcomes, resamples=200).set_index(["row", "column"])


def test_each_seed_its_mean_its_range_and_differences_paired_by_seed(table):
    value, name = table["value"], f"de-biased, {ORIGINAL}"
    assert value[f"{name}, seed 42", "S-Verify"] == pytest.approx(100)
    assert value[f"{name}, seed 1 (encoder and LLM too)", "S-Verify"] == pytest.approx(50)
    assert value[f"{name}, mean", "S-Verify"] == pytest.approx(75)
    assert value[f"{name}, range", "S-Verify"] == pytest.approx(50)
    assert table.loc[(f"{name}, range", "S-Verify"), "n"] == 2
    both = f"de-biased - control, {ORIGINAL}"
    assert value[f"{both}, seed 42", "S-Verify"] == pytest.approx(25)
    assert value[f"{both}, mean", "S-Verify"] == pytest.approx((25 + 50) / 2)
    assert value[f"{both}, range", "S-Verify"] == pytest.approx(25)


def test_the_average_counts_each_type_alike_however_many_rows_it_has(table):
    value = table["value"]
    assert value[f"de-biased, {ORIGINAL}, seed 42", "CC-Verify"] == pytest.approx(100)
    assert value[f"control, {ORIGINAL}, seed 42", "S-Verify"] == pytest.approx(75)
    assert value[f"control, {ORIGINAL}, seed 42", AVERAGE] == pytest.approx((75 + 0) / 2)


def test_a_drop_is_what_another_ecg_costs(table):
    value = table["value"]
    assert value[f"control, {DROP}, seed 42", "S-Verify"] == pytest.approx(75)
    assert value[f"control, {MATCHED_DROP}, seed 42", "S-Verify"] == 0


def test_within_the_ill_yes_and_no_count_alike(table):
    value = table["value"]
    # Right for the four ill ECGs whose answer is yes, wrong for the one whose answer is no.
    assert value[f"de-biased, {WITHIN}, seed 42", "S-Verify"] == pytest.approx(50)
    assert value[f"de-biased, {INTERVENTIONAL}, seed 42", "S-Verify"] == pytest.approx(87.5)
    assert table.loc[(f"de-biased, {WITHIN}, seed 42", "S-Verify"), "n"] == 5
    assert value[f"control, {WITHIN}, seed 42", "S-Verify"] == pytest.approx(100)


def test_every_cell_is_there_once_and_an_interval_holds_its_value(table):
    assert not table.index.has_duplicates
    known = table.dropna()
    assert (
        (known["ci_low"] - 1e-9 <= known["value"]) & (known["value"] <= known["ci_high"] + 1e-9)
    ).all()
    ranges = table.index.get_level_values("row").str.endswith(", range")
    assert table[ranges]["ci_low"].isna().all() and not table[~ranges]["value"].isna().any()


def test_the_figure_marks_each_mean_and_each_seed(table):
    fig = arm_seeds(table.reset_index(), "simulated cohort")
    (pairs,) = {tuple(t.get_text() for t in fig.axes[0].get_yticklabels())}
    assert pairs == ("de-biased - control",)
    dots = [line.get_xdata()[0] for line in fig.axes[0].lines if line.get_marker() == "o"]
    assert np.allclose(sorted(dots), [37.5, 50.0])  # S-Verify, CC-Verify
    with style.use():
        fig.draw_without_rendering()
        box = fig.get_tightbbox()
    assert box.x0 >= -0.01 and box.x1 <= fig.get_figwidth() + 0.01

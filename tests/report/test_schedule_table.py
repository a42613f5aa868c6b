"""Tests of the table of the paper's ablation over learning rates, and of its figure."""

from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ecg_lib.arm_table import CONTROL, DEBIASED, PLAIN
from ecg_lib.evaluation.random_ecg import DROP, ORIGINAL, RANDOM
from ecg_lib.report import style
from ecg_lib.report.figures.schedule_plot import paper_schedule
from ecg_lib.report.schedule_table import (
    CONTRASTED,
    READ,
    gains_of,
    printed_gains,
    schedule_table,
)

Run = namedtuple("Run", "arm rate seed")
N = 20
SHARES = {  # rows right of 20, with the own and with a random ECG, per (arm, rate, seed)
    (PLAIN.key, 1e-4, 42): (12, 12),
    (PLAIN.key, 1e-4, 1): (14, 12),
    (DEBIASED.key, 1e-4, 42): (16, 11),
    (DEBIASED.key, 1e-4, 1): (16, 11),
    (CONTROL.key, 1e-4, 42): (17, 12),
    (CONTROL.key, 1e-4, 1): (15, 12),
    (PLAIN.key, 1e-3, 42): (16, 12),
    (DEBIASED.key, 1e-3, 42): (17, 12),
    (CONTROL.key, 1e-3, 42): (17, 12),
}


def right(own, donor):
    return {ORIGINAL: pd.Series(np.arange(N) < own), RANDOM: pd.Series(np.arange(N) < donor)}


@pytest.fixture(scope="module")
def table():
    outcomes = SimpleNamespace(
        asked=pd.DataFrame({"ecg_id": [[str(k)] for k in range(N)]}),
        patients=pd.Series({str(k): k // 2 for k in range(N)}),
        anchors={"constant": right(13, 13)},
        right={
            Run(*key): {READ: right(*shares), CONTRASTED: right(19, 1)}
            for key, shares in SHARES.items()
        },
    )
    return schedule_table(outcomes, resamples=200)


def value(table, row, column):
    (found,) = table[(table["row"] == row) & (table["column"] == column)]["value"]
    return found


def test_arms_are_means_over_seeds_and_gains_are_their_differences(table):
    assert value(table, "not de-biased, rate 0.0001", ORIGINAL) == pytest.approx(65)
    assert value(table, "not de-biased, rate 0.0001", DROP) == pytest.approx(5)
    assert value(table, "de-biased - not de-biased, rate 0.0001, all seeds", ORIGINAL) == (
        pytest.approx(15)
    )
    assert value(table, "de-biased - not de-biased, rate 0.0001, seed 42", ORIGINAL) == (
        pytest.approx(20)
    )
    assert value(table, "de-biased - not de-biased, rate 0.0001, all seeds", DROP) == (
        pytest.approx(20)
    )
    assert value(table, "control - not de-biased, rate 0.001, all seeds", DROP) == pytest.approx(5)


def test_anchors_and_contrastive_decoding_have_their_rows(table):
    assert value(table, "constant", ORIGINAL) == 65 and value(table, "constant", DROP) == 0
    for arm in (PLAIN, DEBIASED, CONTROL):
        row = f"{arm.title}, rate 0.0001, contrastive decoding"
        assert value(table, row, DROP) == pytest.approx(90)
    assert not table.duplicated(["row", "column"]).any()


def test_one_seeds_interval_is_about_patients_and_seeds_widen_it(table):
    cells = table.set_index(["row", "column"])
    name = "control - not de-biased, rate 0.0001, "
    one, all_ = (cells.loc[(name + of, ORIGINAL)] for of in ("seed 42", "all seeds"))
    assert one["ci_low"] < one["value"] < one["ci_high"]
    assert all_["ci_low"] <= 5 + 1e-9  # seed 1 alone: (15 - 14) / 20


def test_the_papers_gain_is_what_table_5_prints():
    printed = printed_gains()
    assert printed[ORIGINAL] == pytest.approx(77.2 - 69.2)
    assert printed[DROP] == pytest.approx(13.6 - 2.7)


def test_the_figure_shows_both_gains_at_every_rate_beside_the_papers(table):
    fig = paper_schedule(table, "simulated cohort")
    for ax, measure in zip(fig.axes, (ORIGINAL, DROP), strict=True):
        drawn = [line.get_ydata() for line in ax.lines if line.get_linestyle() == "-"]
        for arm in (DEBIASED, CONTROL):
            gains = gains_of(table, arm, PLAIN, measure)
            means = gains[gains["of"] == "all seeds"]["value"].tolist()
            assert len(means) == 2
            assert any(len(y) == 2 and np.allclose(y, means) for y in drawn)
        levels = {line.get_ydata()[0] for line in ax.lines if len(set(line.get_ydata())) == 1}
        assert {0, printed_gains()[measure]} <= levels
    with style.use():
        fig.draw_without_rendering()
        box = fig.get_tightbbox()
    width, height = fig.get_size_inches()
    assert box.x0 >= -0.01 and box.x1 <= width + 0.01
    assert box.y0 >= -0.01 and box.y1 <= height + 0.01

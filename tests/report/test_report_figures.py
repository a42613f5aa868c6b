"""Tests of what figures show, and that equal figures give equal files."""

import itertools

import matplotlib
import numpy as np
import pandas as pd
import pytest

from ecg_lib.errors import DataError
from ecg_lib.report import style
from ecg_lib.report.figures import (
    accuracy_bars,
    architecture,
    case_study,
    dose_response_plot,
    method_diagrams,
    result_plots,
)
from ecg_lib.report.plot_helpers import legend_columns
from ecg_lib.report.provenance import Provenance
from ecg_lib.report.reference import LABELS, MODEL, QUESTION_TYPES, arm, paper_table
from ecg_lib.report.schematics import toy_ecg
from ecg_lib.report.tables import tidy

STAMP = Provenance("demo", "p", "d", "c", "42")
LABEL = "simulated cohort, tiny LLM"
ECG = np.tile(toy_ecg(10, 72, 100)[1], (12, 1))


def cell(row, column, value):
    return {
        "row": row,
        "column": column,
        "value": value,
        "n": 99,
        "ci_low": value - 3,
        "ci_high": value + 3,
    }


def with_paper(name, cells):
    return pd.concat([tidy(name, cells, STAMP), paper_table(name)])


def table3():
    return with_paper("table3_ecgqa", [cell(MODEL, c, 60.0) for c in QUESTION_TYPES])


def table4():
    rows = itertools.product(("CLIP", MODEL), ("PTB-XL", "LUDB"), LABELS)
    return with_paper("table4_zero_shot", [cell(f"{m}, {d}", c, 70.0) for m, d, c in rows])


def table5():
    kinds = ("S-Verify", "CC-Verify", "CI-Verify", "average")
    values = {
        arm(True, False): 84.0,
        arm(True, True): 55.0,
        arm(False, False): 71.0,
        arm(False, True): 66.5,
    }
    return with_paper(
        "table5_random_ecg", [cell(r, k, v) for r, v in values.items() for k in kinds]
    )


def history():
    step = np.arange(0, 100, 10)
    return pd.DataFrame({"step": step, "loss": 1 / (1 + step), "eval_accuracy": step / 100})


def bias():
    paper = paper_table("table1")
    return tidy("table1_bias", [cell(r.row, r.column, 50.0) for r in paper.itertuples()], STAMP)


def dose():
    rows = [
        f"{arm}, strength {s}, {of}"
        for arm in ("not de-biased", "control", "de-biased")
        for s in ("0.00", "0.33", "0.67", "1.00")
        for of in ("seed 42", "seed 1", "all seeds")
    ]
    measures = ("interventional accuracy", "drop", "matched drop")
    return tidy("dose_response", [cell(r, m, 55.0) for r in rows for m in measures], STAMP)


def case(ecgs, dialogue, truth=""):
    return case_study.figure4_case_studies([case_study.CaseStudy(ecgs, dialogue, truth)], LABEL)


def texts(fig):
    return " ".join(t.get_text() for t in fig.findobj(matplotlib.text.Text))


MEASURED = {
    "curves": lambda: result_plots.learning_curves(history(), "Pretraining", LABEL),
    "bias": lambda: result_plots.normal_ratio_bars(bias(), paper_table("table1"), 49.5, LABEL),
    "exact match": lambda: accuracy_bars.exact_match_bars(table3(), LABEL),
    "random ECG": lambda: accuracy_bars.random_ecg_bars(table5(), LABEL),
    "auc": lambda: result_plots.auc_dots(table4(), LABEL),
    "dose-response": lambda: dose_response_plot.dose_response(dose(), LABEL),
    "case": lambda: case({"ECG": ECG}, [("Normal?", "yes")]),
}
DRAWN = {
    "figure 1": method_diagrams.figure1_tags_v_embeddings,
    "figure 2": method_diagrams.figure2_scm,
    "figure 3": architecture.figure3_architecture,
}


@pytest.mark.parametrize("name", [*DRAWN, *MEASURED])
def test_no_text_of_a_figure_is_cut_off_at_its_edge(name):
    fig = {**DRAWN, **MEASURED}[name]()
    with style.use():
        fig.draw_without_rendering()
        drawn = fig.get_tightbbox()  # inches
    width, height = fig.get_size_inches()
    assert drawn.x0 >= -0.01 and drawn.x1 <= width + 0.01
    assert drawn.y0 >= -0.01 and drawn.y1 <= height + 0.01


def test_a_caption_is_broken_where_the_figure_ends():
    text = "Seven words that go on and on. " * 8
    with style.use():
        fig = style.new_figure(4.0, 2.0)
        style.caption(fig, text + "\nA line of its own.", "some data")
        fig.draw_without_rendering()
    lines = fig.get_supxlabel().split("\n")
    assert " ".join(lines[:-2]) == text.strip() and "A line of its own." in lines
    assert lines[-1] == "Our numbers: some data."
    assert fig.get_tightbbox().x1 <= 4.01


@pytest.mark.parametrize("name", MEASURED)
def test_figures_of_our_numbers_say_where_these_come_from(name):
    assert LABEL in texts(MEASURED[name]())


def test_the_same_figure_is_the_same_bytes_and_carries_no_date(tmp_path):
    saved = [style.save(method_diagrams.figure2_scm(), tmp_path / f, "figure2_scm") for f in "ab"]
    assert saved[0].read_bytes() == saved[1].read_bytes()
    assert saved[0].name == "figure2_scm.png"
    assert b"Software" not in saved[0].read_bytes() and b"date" not in saved[0].read_bytes()
    assert list((tmp_path / "a").iterdir()) == [saved[0]]


def test_the_style_ends_with_its_block():
    before = matplotlib.rcParams["axes.spines.top"]
    with style.use():
        assert matplotlib.rcParams["axes.spines.top"] is False
    assert matplotlib.rcParams["axes.spines.top"] == before


def test_figure_1_counts_the_numbers_that_pass():
    text = texts(
        method_diagrams.figure1_tags_v_embeddings(tag_vocabulary=40, llm_tokens=10, llm_width=128)
    )
    assert "12,000 numbers" in text and "40 bits" in text and "1,280 numbers" in text


def test_figure_3_prints_the_given_sizes_and_equation_5():
    dims = architecture.Dims(width=64, depth=4, heads=4, patch=25, llm="tiny", llm_width=128)
    text = texts(architecture.figure3_architecture(dims)).replace(style.TIMES, "x")
    for size in ("16 x 1,000", "32 x 1,000", "40 x 64", "10 x 256", "10 x 128", "x 4", "tiny"):
        assert size in text


def test_figure_3_has_lora_where_the_profile_has_it():
    paper = texts(architecture.figure3_architecture())
    all_four = tuple(f"{name}_proj" for name in "qkvo")
    ours = texts(architecture.figure3_architecture(architecture.Dims(adapted=all_four)))
    assert paper.count("LoRA") == 2 + 1 and ours.count("LoRA") == 4 + 1  # one more for its rank


def test_the_random_ecg_figure_tells_each_arms_fall():
    text = texts(accuracy_bars.random_ecg_bars(table5(), LABEL)).replace("\N{MINUS SIGN}", "-")
    for fall in ("-29.0", "-4.5", "-18.2", "-2.0"):  # ours, then the paper's
        assert fall in text


def test_bars_stand_at_our_values_and_diamonds_at_the_papers():
    ax = accuracy_bars.exact_match_bars(table3(), LABEL).axes[0]
    assert [p.get_height() for p in ax.patches] == [60.0] * 7
    diamonds = [line.get_ydata()[0] for line in ax.lines if line.get_marker() == "D"]
    assert diamonds == [77.2, 59.8, 42.6, 78.9, 15.2, 81.2, 3.2]


def test_a_label_without_enough_positives_gets_no_dot():
    full, table = table4(), table4()
    table.loc[(table["source"] == "ours") & (table["column"] == "ST"), "value"] = np.nan
    dots = [
        sum(line.get_marker() == "o" for ax in result_plots.auc_dots(t).axes for line in ax.lines)
        for t in (full, table)
    ]
    assert dots == [36, 32]


def test_a_case_study_shows_both_ecgs_the_dialogue_and_its_limits():
    ecgs = {"Previous": ECG, "Recent": ECG}
    text = texts(case(ecgs, [("What is new?", "")], "LVH"))
    for part in ("Previous", "Recent", "What is new?", "(no answer)", "LVH", "not for diagnosis"):
        assert part in text


def test_figures_without_data_are_refused():
    with pytest.raises(DataError, match="none of our results"):
        accuracy_bars.exact_match_bars(paper_table("table3"))
    with pytest.raises(DataError, match="one or two"):
        case({}, [])
    with pytest.raises(DataError, match="shape"):
        case({"ECG": ECG[:3]}, [])
    with pytest.raises(DataError, match="loss column"):
        result_plots.learning_curves(pd.DataFrame({"step": [1]}), "x")


def test_a_legend_takes_as_many_columns_as_fit_the_figure():
    assert legend_columns(["a", "b", "c"], 5.0) == 3
    assert legend_columns(["a"] * 9, 7.2) == 5
    assert legend_columns(["a label of some thirty letters"] * 6, 7.2) == 3
    assert legend_columns(["a label of some thirty letters"] * 6, 2.0) == 1


def test_the_first_steps_do_not_flatten_a_learning_curve():
    steps = np.arange(1, 101)
    loss = np.where(steps < 8, 30.0, 0.4 - steps / 1000)
    figure = result_plots.learning_curves(pd.DataFrame({"step": steps, "loss": loss}), "x")
    low, high = figure.axes[0].get_ylim()
    assert high < 1 and low < loss.min() and high > loss[10:].max()


def test_table_1_marks_the_quota_and_draws_no_bar_of_a_few_rows():
    rows = bias().assign(n=[29.0, *[30.0] * 6])
    predicted = pd.Series(73.1, index=rows["row"][:2])
    fig = result_plots.normal_ratio_bars(rows, paper_table("table1"), 49.5, LABEL, predicted)
    (ax,) = fig.axes
    assert len(ax.patches) == 6
    marks = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "|"]
    assert marks == [73.1, 73.1] and "by the quota alone" in texts(fig)

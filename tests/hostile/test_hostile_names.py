"""Names that users give are text: in tables, captions and figures, and in prompts."""

import re

import numpy as np
import pandas as pd
import pytest
from blind_cohort import question_set
from ecg_folders import beats

from ecg_lib.blind_test import blind_test
from ecg_lib.blind_test.blind_report import plane, to_latex, to_markdown
from ecg_lib.cli.terminal import told
from ecg_lib.data.printable import printable
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.report import style
from ecg_lib.report.ecg_plot import plot_ecg
from ecg_lib.report.tables import wide_markdown
from ecg_lib.tiny_llm.llama import train_byte_pairs

NAMES = (
    *("{0} {model}", "$\\frac{", "$a$ and $b$", "a|b", "<script>x</script>", "`x` *y* _z_", "#1"),
    *("a\\b", "50 % & more", "~x^2", "-x", "../x", "a\nb", "[a](b)", "心", "x" * 500),
)


def blind(ecgs, questions):
    return ["no"] * len(questions)


@pytest.fixture(scope="module")
def result():
    questions = question_set(patients=30)
    return blind_test(blind, questions, name="NAME", resamples=10, progress=False)


def named(result, name):
    """Return the result with another model's name, as if it had been judged under it."""
    from dataclasses import replace

    rows = result.table["row"].str.replace("NAME", name, regex=False)
    return replace(result, model=name, table=result.table.assign(row=rows))


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_breaks_no_table(result, name):
    own = named(result, name)
    lines = [line for line in to_markdown(own).splitlines() if line.startswith("|")]
    bars = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
    assert len(bars) == 1 and len(lines) == 2 + own.table["row"].nunique()
    assert "<script>" not in to_markdown(own)
    caption = re.search(r"\\caption\{(.*)\}\s*\\label", to_latex(own), re.S)[1]
    assert not re.search(r"(?<!\\)[&%$#_]", caption.replace("\\textbackslash{}", ""))
    plain = re.sub(r"\\[{}]", "", caption)
    assert plain.count("{") == plain.count("}")


@pytest.mark.parametrize("name", ["$\\frac{", "$a$ and $b$", "a\\b_{", "a\nb <c> 心"])
def test_a_name_breaks_no_figure(result, name):
    figure = plane([named(result, name)], label=name)
    assert figure is not None
    figure.canvas.draw()
    plot_ecg(beats(100), title=name).canvas.draw()
    with style.use():
        own = style.new_figure(4, 2)
        style.caption(own, "Text", name)
        own.canvas.draw()


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_is_one_cell_of_a_table(name):
    cells = pd.DataFrame([{"row": name, "column": name, "value": 1.0, "n": 2.0}])
    table = wide_markdown(
        cells.reindex(columns=["row", "column", "value", "n", "ci_low", "ci_high"])
    )
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()} == {3}


@pytest.mark.parametrize("question", NAMES, ids=range(len(NAMES)))
def test_a_question_stands_in_the_prompt_as_it_is(question):
    tokenizer = train_byte_pairs([*NAMES, "Is it?"] * 2, 400)
    processor = EcgLlmProcessor(tokenizer, slots=2)
    said = processor.tokenizer.decode(processor.prompt_ids(question))
    assert question in said


def test_what_is_printed_is_one_line_without_control_characters():
    assert printable("a\n b\t\x1b[2Jc\x07\u202e") == "a b ?[2Jc??"
    assert told(FileNotFoundError(2, "No such file", "x\ny")).startswith("x y: no such file; check")
    assert np.all([ch.isprintable() for ch in told(ValueError("\x00\n\u2028x"))])

"""Test that a prompt of the user's own is text, in which only {label} stands for something."""

import dataclasses

import pytest

from ecg_lib.__main__ import main
from ecg_lib.config import Cohort
from ecg_lib.config_check import _check_titles
from ecg_lib.errors import ConfigError, DataError
from ecg_lib.evaluation.label_prompt import check_prompt, filled


@pytest.mark.parametrize("prompt", ["{label}", "an ECG of {label}.", "{label}, {{really}}: 100 %"])
def test_each_label_makes_a_text_of_its_own(prompt):
    assert filled(prompt, "AF") != filled(prompt, "PVC") and "AF" in filled(prompt, "AF")


def test_doubled_braces_are_braces_and_those_in_a_labels_words_stay():
    assert filled("{{a}} {label}", "{x} {{y}} {") == "{a} {x} {{y}} {"


@pytest.mark.parametrize(
    "prompt, said",
    [
        ("{label} in {lead}", "{lead} is not known"),
        ("{label} {}", "{} is not known"),
        ("{label} {0}", "{0} is not known"),
        ("{label.upper}", "{label.upper} is not known"),
        ("{label[0]}", "{label[0]} is not known"),
        ("{label!r}", "{label!r} is not known"),
        ("{label:.1}", "{label:.1} is not known"),
        ("{label}{", "brace without its partner"),
        ("}{label}", "brace without its partner"),
        ("{{label}}", "lacks {label}"),
        ("an ECG", "lacks {label}"),
        ("", "lacks {label}"),
    ],
)
def test_a_prompt_with_other_braces_is_refused_in_one_line(prompt, said, capsys):
    with pytest.raises(DataError) as error:
        check_prompt(prompt, "--prompt")
    assert said in str(error.value) and "--prompt" in str(error.value)
    arguments = ["--model", "nowhere", "--cohort", "nowhere", f"--prompt={prompt}"]
    assert main(["evaluate", "zero-shot", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: --prompt") and err.count("\n") == 1 and said in err


def test_two_cohorts_with_one_title_are_refused():
    ludb = Cohort("ludb", "LUDB")
    _check_titles([ludb, dataclasses.replace(ludb, split="test"), Cohort("cpsc", "CPSC")], "x")
    with pytest.raises(ConfigError, match="name one store, ludb; rename one") as error:
        _check_titles([ludb, Cohort("cpsc", "ludb")], "x")
    assert "'LUDB' and 'ludb'" in str(error.value)

"""What the README says of the results is what the committed tables say."""

from pathlib import Path

import pandas as pd
import pytest

REPO = Path(__file__).resolve().parent.parent
BOTH = pytest.mark.parametrize("profile", ["demo", "ptbxl"])


def cells(profile, name, column):
    """Rows of one column of a table of ours."""
    table = pd.read_csv(REPO / "results" / profile / f"{name}.csv")
    return table[(table["source"] == "ours") & (table["column"] == column)].set_index("row")


@BOTH
def test_the_model_looks_at_the_ecg_and_a_donor_as_ill_costs_less(profile):
    answers = cells(profile, "ecgqa_differences", "S-Verify")
    assert answers.loc["ECG-LLM - question words", "ci_low"] > 0
    drops = cells(profile, "table5_random_ecg", "S-Verify")
    assert drops.loc["de-biased, drop", "ci_low"] > 0
    assert drops.loc["de-biased, matched drop", "value"] < drops.loc["de-biased, drop", "value"]


@BOTH
def test_comparisons_are_a_coin_s_and_words_no_better_than_the_majority(profile):
    comparing = cells(profile, "table3_ecgqa", "CI-Verify").loc["ECG-LLM"]
    assert comparing["ci_low"] < 50 < comparing["ci_high"]
    for kind in ("S-Choose", "S-Query"):
        said = cells(profile, "ecgqa_differences", kind).loc["ECG-LLM - majority answer"]
        assert not said["ci_low"] > 0, kind


@BOTH
def test_the_small_classifier_is_better_and_pairing_shows_no_gain(profile):
    answers = cells(profile, "ecgqa_differences", "S-Verify")
    assert answers.loc["ECG-LLM - fusion classifier", "ci_high"] < 0
    every = cells(profile, "ecgqa_differences", "all").loc["ECG-LLM - not de-biased"]
    opposite = every["ci_high"] < 0
    assert not every["ci_low"] > 0 and opposite == (profile == "demo")


@BOTH
def test_the_drop_of_the_de_biased_arm_is_smaller_in_demo_and_unclear_in_ptbxl(profile):
    change = cells(profile, "random_ecg_differences", "average")
    change = change.loc["de-biased - not de-biased, drop"]
    assert not change["ci_low"] > 0 and (change["ci_high"] < 0) == (profile == "demo")

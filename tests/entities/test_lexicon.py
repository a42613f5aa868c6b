"""Test the lexicon miner: spans, longest wordings, other languages, the tables."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from ecg_lib.entities import lexicon
from ecg_lib.entities.lexicon import shipped_lexicon, words_of
from ecg_lib.entities.mention import Mention
from ecg_lib.errors import DataError
from ecg_lib.knowledge.findings import FINDINGS


def names(report):
    return [m.name for m in shipped_lexicon().read(report)]


def test_a_span_is_that_in_the_report_also_where_words_were_translated():
    report = "SINUSRHYTHMUS  inferiorer\nInfarkt"
    for mention in shipped_lexicon().read(report):
        assert report[slice(*mention.span)] == mention.text
    spans = [(m.name, m.text) for m in shipped_lexicon().read("ÄÖ Linkshypertrophie, LVH")]
    lvh = "left ventricular hypertrophy"
    assert spans == [(lvh, "Linkshypertrophie"), (lvh, "LVH")]


def test_a_longer_wording_uses_up_the_words_of_a_shorter_one():
    assert names("incomplete right bundle branch block") == ["incomplete right bundle branch block"]
    assert names("low limb lead voltage") == []
    assert names("otherwise normal ecg") == [] and names("normal ecg") == ["normal ecg"]
    assert names("irregular") == []  # no wording within a word


def test_blanks_and_hyphens_and_plurals_are_the_same():
    for text in ("t-wave inversion", "T wave inversions", "t  wave-inversion"):
        assert names(text) == ["inverted t-waves"]


def test_every_finding_is_read_by_its_own_name():
    for name in FINDINGS["name"]:
        assert name in names(name), name


def test_reports_are_mined_in_order_and_equal_ones_alike():
    reports = ["atrial flutter", "normal ecg", "atrial flutter", ""]
    found = shipped_lexicon().mine(reports)
    assert (
        found[0] == found[2] == [Mention("atrial flutter", "atrial flutter", "asserted", (0, 14))]
    )
    assert found[3] == []


def test_statements_of_carts_that_were_set_aside_are_read():
    """Half B of the table was not looked at when the words were chosen."""
    table = pd.read_csv(
        Path(__file__).parents[1] / "data" / "report_wordings.csv", keep_default_na=False
    )
    code_of = {name: code for code, name in FINDINGS["name"].items()}
    right = 0
    unseen = table[table["half"] == "B"]
    for row in unseen.itertuples():
        want = {code if code.endswith("?") else f"{code}!" for code in row.labels.split()}
        mark = {"asserted": "!", "doubted": "?"}
        mined = shipped_lexicon().read(row.statement)
        got = {
            code_of[m.name] + mark[m.polarity]
            for m in mined
            if m.name in code_of and m.polarity in mark
        }
        right += want == got
    assert right / len(unseen) > 0.9


def _table():
    return yaml.safe_load(Path(lexicon.__file__).with_name("wordings.yaml").read_text("utf-8"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nothing": ["Upper Case"]}, "'Upper Case' must be a wording in lower case"),
        ({"superclasses": {"blocks": ["LBBBB"]}}, "superclasses.blocks: code 'LBBBB'"),
        ({"walls": [{"codes": {"apical": "AMI"}, "say": ["infarct"]}]}, "must hold {} once"),
        ({"entities": {"SR": ["a"], "AFIB": ["a"]}}, "'a' is given to SR and AFIB"),
        ({"entities": ["SR"]}, "entities must be a dict"),
    ],
)
def test_a_wrong_table_is_told_by_field(change, message):
    with pytest.raises(DataError, match=message):
        words_of(_table() | change)

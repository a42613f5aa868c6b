"""Test the scores of miners by hand, and what they show on simulated and on real reports."""

import ast

import numpy as np
import pandas as pd
import pytest

from ecg_lib.data.simulated.told_report import ToldReport
from ecg_lib.entities.entity_labels import lexicon_entities
from ecg_lib.entities.entity_set import EntitySet
from ecg_lib.entities.lexicon import shipped_lexicon
from ecg_lib.entities.mention import Mention
from ecg_lib.entities.mining_scores import code_scores, scores, told_scores
from ecg_lib.entities.wording_halves import as_lexicon, halves, mining_table
from ecg_lib.knowledge.findings import FINDINGS, name_of


def test_precision_recall_and_f1_by_hand():
    truth = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0]], bool)
    found = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1]], bool)
    own = scores(truth, found)
    assert own["precision"] == pytest.approx(2 / 4) and own["recall"] == pytest.approx(2 / 4)
    assert own["f1"] == pytest.approx(0.5)
    # by column: (1, 2/3) and (0, 0); the third has no true positive and does not count
    assert own["macro_precision"] == pytest.approx(0.5)
    assert own["macro_recall"] == pytest.approx(1 / 3)
    assert own["macro_f1"] == pytest.approx((0.8 + 0) / 2)
    nothing = scores(truth & False, found & False)
    assert np.isnan(nothing["recall"]) and np.isnan(nothing["macro_f1"])


class Fixed:
    """A miner with prepared answers."""

    def __init__(self, *names):
        self.names = names

    def mine(self, reports):
        return [[Mention(name, name) for name in own] for own in self.names]


def test_doubted_and_denied_findings_that_are_taken_as_positive_are_counted():
    afib, lvh, rvh, sr = map(name_of, ("AFIB", "LVH", "RVH", "SR"))
    entities = EntitySet.of([afib, lvh, rvh, sr, "hypertrophy"], None, {"hypertrophy": [lvh, rvh]})
    told = [
        ToldReport("a", {"AFIB": ""}, {"LVH": ""}, ()),
        ToldReport("b", {"SR": ""}, {"AFIB": ""}, ("LVH", "RVH")),
        ToldReport("c", {"SR": ""}, {}, ("LVH", "RVH")),
        ToldReport("d", {"SR": ""}, {}, ("LVH",)),
    ]
    miner = Fixed([afib, lvh], [sr], [sr, "hypertrophy"], [sr, "hypertrophy"])
    own = told_scores(miner, entities, told, ["AFIB", "LVH", "RVH", "SR"])
    assert (own.reports, own.asserted, own.doubted, own.denied) == (4, 4, 2, 3)
    assert own.precision == pytest.approx(4 / 5) and own.recall == 1
    assert own.doubted_positive == 0.5
    # "hypertrophy" is wrong where both its kinds are denied, and not known to be where one is
    assert own.denied_positive == pytest.approx(1 / 3)


def test_codes_of_readers_count_from_a_likelihood_on_and_without_one():
    entities = EntitySet.of([name_of("AFIB"), name_of("LVH")])
    labels = [{"AFIB": 0.0}, {"AFIB": 35.0}, {"LVH": 50.0}]
    own = code_scores(
        Fixed([name_of("AFIB")], [name_of("AFIB")], []), entities, "abc", labels, ["AFIB", "LVH"]
    )
    assert (own["reports"], own["pairs"], own["codes"]) == (3, 2, 2)
    assert own["precision"] == 0.5 and own["recall"] == 0.5


def test_halves_share_no_wording_and_lose_none():
    first, second = halves(3)
    for code in first:
        assert first[code] and second[code] and not set(first[code]) & set(second[code])
    assert halves(3) == halves(3) != halves(4)
    words = as_lexicon({"QWAVE": ["pathological q waves in {leads}"], "IMI": ["{stage} imi"]})
    assert set(words) == {"pathological q waves", "imi"}


def test_a_lexicon_reads_what_it_knows_and_little_else():
    table = mining_table(150, 1).set_index(["miner", "wordings"])
    known, unknown = table.loc[("lexicon of one half", "known")], table.loc[
        ("lexicon of one half", "unknown")
    ]  # fmt: skip
    assert known["precision"] > 0.97 and known["recall"] > 0.99
    assert unknown["recall"] < 0.4
    without = table.loc[("without negation", "known")]
    assert without["doubted_positive"] == 1 and known["doubted_positive"] < 0.1
    assert (
        table.loc[("substring", "known"), "precision"] < without["precision"] < known["precision"]
    )
    shipped = table.loc[("shipped lexicon", "all")]
    assert shipped["f1"] > 0.97 and shipped["denied_positive"] == 0
    assert table.loc[("shipped, without negation", "all"), "denied_positive"] > 0.3


def test_real_reports_agree_with_their_codes(real_data):
    table = pd.read_csv(real_data / "ptbxl" / "ptbxl_database.csv")
    at_hand = {int(f.name[:5]) for f in (real_data / "ptbxl").glob("records100/*/*.hea")}
    table = table[table["ecg_id"].isin(at_hand) & (table["strat_fold"] > 8)]
    labels = [ast.literal_eval(codes) for codes in table["scp_codes"]]
    codes = [code for code in FINDINGS.index if code not in ("LBBB", "RBBB")]  # PTB-XL has neither
    reports = table["report"].fillna("").tolist()
    own = code_scores(shipped_lexicon(), lexicon_entities(), reports, labels, codes)
    assert own["reports"] > 400
    assert own["precision"] > 0.75 and own["recall"] > 0.6
    blind = code_scores(shipped_lexicon(False), lexicon_entities(), reports, labels, codes)
    assert blind["precision"] < own["precision"]

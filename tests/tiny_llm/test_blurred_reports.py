"""Tests of blurred reports, whose statements are mixed into slots."""

import numpy as np
import pytest
import torch

from ecg_lib.ecg_llm.packing import packed_row
from ecg_lib.tiny_llm import blurred_reports
from ecg_lib.tiny_llm.blurred_reports import Blur, Mixture
from ecg_lib.tiny_llm.llama import tiny_llama, train_byte_pairs
from ecg_lib.tiny_llm.packed_rows import SOFT, PackedLoss, collate
from ecg_lib.tiny_llm.synthetic_reports import Exercise
from ecg_lib.tiny_llm.training_rows import CachedTokenizer, exercise_rows

TEXTS = ["atrial fibrillation. sinus rhythm. left axis deviation. yes no"] * 30
STRAYS = [[90], [91], [92, 93]]


@pytest.fixture(scope="module")
def processor():
    return CachedTokenizer(train_byte_pairs(TEXTS, 400), slots=1)


def mixed(report, seed=0):
    soft = Mixture([], [], [])
    return Blur(1.0, STRAYS, seed).mix(report, 5, soft), soft


def test_a_slot_holds_weights_that_add_up_to_one():
    slots, soft = mixed([[10], [11, 12], [13]])
    total = np.bincount(np.array(soft.place) - 5, soft.weight, minlength=slots)
    assert blurred_reports.SLOTS[0] <= slots <= blurred_reports.SLOTS[1]
    np.testing.assert_allclose(total, 1, atol=0.05)  # the faintest weights are dropped


@pytest.mark.parametrize("seed", range(5))
def test_every_statement_leads_in_a_slot_and_no_stray_does(seed):
    slots, soft = mixed([[10], [11, 12], [13]], seed)
    share = np.zeros((slots, 100))
    np.add.at(share, (np.array(soft.place) - 5, soft.token), soft.weight)
    assert (share[:, [10, 11, 13]].max(axis=0) > [0.5, 0.25, 0.5]).all()  # half for two tokens
    assert share[:, 90:].max() < 0.5


def test_a_report_longer_than_the_slots_still_has_a_slot_per_statement():
    report = [[k] for k in range(40)]
    slots, soft = mixed(report)
    assert slots == 40 and set(soft.token) >= set(range(40))


def test_the_share_of_blurred_reports_is_the_one_asked_for(processor):
    exercise = Exercise(("sinus rhythm", "left axis deviation"), [("yes?", "yes")])
    rows = exercise_rows([exercise] * 400, processor, Blur(0.25, STRAYS, 0))
    soft = [processor.slot_id in row["input_ids"] for row in rows]
    assert 0.18 < np.mean(soft) < 0.32
    assert all((SOFT in row) == s for row, s in zip(rows, soft, strict=True))
    row = rows[soft.index(True)]
    places = {k for k, token in enumerate(row["input_ids"]) if token == processor.slot_id}
    assert set(row[SOFT].place) == places
    assert max(place for place in places) < row["turn"].index(1)


def test_a_slot_with_one_word_and_no_noise_is_that_word(processor, monkeypatch):
    monkeypatch.setattr(blurred_reports, "NOISE", 0.0)
    torch.manual_seed(0)
    loss = PackedLoss(tiny_llama(processor.tokenizer, 32, 2, 2), processor.slot_id).eval()
    words, said = processor.text_ids("sinus rhythm"), processor.answer_ids("yes", "sinus rhythm")
    soft = Mixture(list(range(1, 1 + len(words))), words, [1.0] * len(words))
    slots = [processor.slot_id] * len(words)
    written = packed_row([1, *words], [(words, said)])
    blurred = {**packed_row([1, *slots], [(words, said)]), SOFT: soft}
    with torch.no_grad():
        a, b = (loss(**collate([row], processor))["loss"] for row in (written, blurred))
        other = loss(**collate([packed_row([1, *words[::-1]], [(words, said)])], processor))["loss"]
    torch.testing.assert_close(a, b)
    assert not torch.isclose(a, other, atol=1e-5)


def test_written_rows_hold_no_mixture(processor):
    row = exercise_rows([Exercise(("sinus rhythm",), [("yes?", "yes")])], processor)[0]
    assert SOFT not in row and not len(collate([row], processor)["soft_row"])

"""Tests of the order of training rows: batches of similar length, and no row lost."""

import numpy as np

from ecg_lib.tiny_llm.row_order import in_order_by_length, shuffled_by_length


def rows_of(lengths):
    return [{"input_ids": [number] * n} for number, n in enumerate(lengths)]


def test_batches_of_like_length_hold_every_row_once_and_little_padding():
    lengths = np.random.default_rng(0).integers(5, 300, size=203)
    ordered = [row["input_ids"] for row in shuffled_by_length(rows_of(lengths), 8, seed=0)]
    assert sorted(ids[0] for ids in ordered) == list(range(203))
    batches = [ordered[k : k + 8] for k in range(0, 203, 8)]
    padding = sum(max(map(len, b)) * len(b) - sum(map(len, b)) for b in batches[:-1])
    assert padding < 0.1 * lengths.sum()
    means = [np.mean([len(ids) for ids in b]) for b in batches]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.6  # not from short to long
    assert ordered == [r["input_ids"] for r in shuffled_by_length(rows_of(lengths), 8, seed=0)]


def test_batches_of_a_course_have_little_padding_and_keep_its_order():
    lengths = np.random.default_rng(0).integers(5, 300, size=203)
    rows = rows_of(lengths)
    ordered = [row["input_ids"] for row in in_order_by_length(rows, 8, seed=0, among=5)]
    assert sorted(ids[0] for ids in ordered) == list(range(203))
    assert all(abs(place - ids[0]) < 5 * 8 for place, ids in enumerate(ordered))
    batches = [ordered[k : k + 8] for k in range(0, 200, 8)]
    padding = sum(max(map(len, b)) * len(b) - sum(map(len, b)) for b in batches)
    assert padding < 0.25 * lengths.sum()  # in the given order: 0.67
    assert [ids[0] for ids in ordered] != sorted(ids[0] for ids in ordered)

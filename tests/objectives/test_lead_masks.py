"""Test K-MERL's masks by counting, and that the encoder reads them alike on every path."""

from collections import Counter

import pytest
import torch

from ecg_lib.encoders.base import EcgInput
from ecg_lib.encoders.lead_vit import LeadVit, LeadVitConfig
from ecg_lib.objectives.parts.lead_masks import (
    LeadMasking,
    drawn_leads,
    drawn_segments,
    kept_of,
    positions,
)

L, M = 12, 50


def drawing(seed=0):
    return torch.Generator().manual_seed(seed)


def per_lead(keep, steps=M):
    """Count the kept tokens of every ECG and lead: (B, L)."""
    counts = torch.zeros(len(keep), L, dtype=torch.int64)
    return counts.scatter_add(1, keep.clamp(min=0) // steps, (keep >= 0).long())


def test_a_batch_has_one_number_of_leads_but_each_ecg_its_own_leads():
    seen, generator = set(), drawing()
    for _ in range(30):
        present = drawn_leads(64, L, (9, 10, 11), generator)
        (number,) = set(present.sum(1).tolist())
        seen.add(number)
        assert len(set(map(tuple, present.tolist()))) > 1
    assert seen == {1, 2, 3}


def test_numbers_of_leads_and_leads_are_drawn_uniformly():
    present = drawn_leads(12_000, L, (9, 10, 11), drawing(), per_ecg=True)
    numbers = Counter(present.sum(1).tolist())
    assert set(numbers) == {1, 2, 3}
    for count in numbers.values():  # 4,000 expected, sd 52
        assert abs(count - 4000) < 250
    for count in present.sum(0).tolist():  # 12,000 x 2 / 12 = 2,000 expected, sd below 45
        assert abs(count - 2000) < 220
    pairs = present[present.sum(1) == 2].float()
    together = (pairs.T @ pairs).fill_diagonal_(0)  # 66 pairs of leads, about 61 times each
    assert (together[~torch.eye(L, dtype=torch.bool)] > 25).all()


def test_numbers_of_a_batch_are_drawn_uniformly():
    generator = drawing()
    numbers = Counter(int(drawn_leads(1, L, (9, 10, 11), generator).sum()) for _ in range(3000))
    assert set(numbers) == {1, 2, 3} and all(abs(c - 1000) < 130 for c in numbers.values())


def test_a_fixed_number_and_none():
    assert set(drawn_leads(50, L, (9,), drawing(), per_ecg=True).sum(1).tolist()) == {3}
    assert drawn_leads(5, L, (0,), drawing()).all()


def test_each_present_lead_keeps_equally_many_segments_and_absent_ones_none():
    present, keep = LeadMasking(per_ecg=True).draw(200, L, M, drawing())
    assert torch.equal(per_lead(keep), 37 * present)  # int(0.75 x 50)
    assert keep.shape == (200, 3 * 37)
    for row, there in zip(keep, present, strict=True):
        own = row[row >= 0]
        assert (own.diff() > 0).all() and row[len(own) :].eq(-1).all()
        assert len(own) == 37 * int(there.sum())


def test_segments_are_drawn_uniformly_and_anew_for_each_lead():
    _, keep = LeadMasking(masked=(0,)).draw(500, L, M, drawing())
    kept = torch.zeros(500, L * M).scatter(1, keep, 1).view(500, L, M)
    by_time = kept.sum((0, 1))  # 6,000 x 0.74 = 4,440 expected, sd 34
    assert (by_time - 4440).abs().max() < 170
    assert not torch.equal(kept[:, 0], kept[:, 1])
    both = (kept[:, 0] * kept[:, 1]).mean()  # 0.74 squared if leads are independent
    assert abs(float(both) - 0.74**2) < 0.01


def test_joint_masking_keeps_the_same_total_but_not_the_same_of_each_lead():
    present, keep = LeadMasking(per_ecg=True, segments="joint").draw(300, L, M, drawing())
    counts = per_lead(keep)
    assert torch.equal(counts.sum(1), 37 * present.sum(1))
    assert (counts[~present] == 0).all()
    of_three = counts[present.sum(1) == 3]
    assert (of_three.max(1).values > 37).float().mean() > 0.9


def test_without_segment_masking_present_leads_are_whole():
    present, keep = LeadMasking(per_ecg=True, segments="none").draw(20, L, M, drawing())
    assert torch.equal(per_lead(keep), M * present)


def test_the_same_generator_draws_the_same():
    one, other = (LeadMasking().draw(8, L, M, drawing(3)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(one[0], LeadMasking().draw(8, L, M, drawing(4))[0])


@pytest.mark.parametrize(
    ("steps", "share", "kept"),
    [(50, 0.25, 37), (40, 0.25, 30), (50, 0.5, 25), (50, 0.3, 35), (50, 0.9, 5), (10, 0, 10)],
)
def test_rounding_is_down_and_not_misled_by_binary_fractions(steps, share, kept):
    assert kept_of(steps, share) == kept


def test_positions_by_hand():
    kept = torch.tensor([[True, False, True, True], [False, False, False, True]])
    assert positions(kept).tolist() == [[0, 2, 3], [3, -1, -1]]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"masked": ()}, "masked is empty"),
        ({"masked": (9, 9)}, "masked is 9, 9"),
        ({"masked": (-1,)}, "masked is -1"),
        ({"segments": "some"}, "segments is 'some'"),
        ({"share": 1.0}, "share is 1"),
    ],
)
def test_an_impossible_setting_is_named(wrong, named):
    with pytest.raises(ValueError, match=named):
        LeadMasking(**wrong)


def test_hiding_every_lead_or_every_segment_is_refused():
    with pytest.raises(ValueError, match="masked is 12 of 12"):
        LeadMasking(masked=(11, 12)).draw(2, L, M, drawing())
    with pytest.raises(ValueError, match=r"share is 0\.9, which hides all 5"):
        LeadMasking(share=0.9).draw(2, L, 5, drawing())
    with pytest.raises(ValueError, match="segments is 'x'"):
        drawn_segments(torch.ones(1, L, dtype=torch.bool), M, 0.25, drawing(), "x")


def test_a_draw_is_encoded_alike_with_equal_numbers_padded_and_one_by_one():
    """One number per batch needs no mask; the same rows among others with more tokens need one."""
    torch.manual_seed(0)
    sizes = {"width": 16, "depth": 2, "heads": 2, "head_size": 8, "mlp": 32}
    model = LeadVit(LeadVitConfig(ecg_input=EcgInput(), **sizes)).eval()
    ecg = torch.randn(4, 12, 1000)
    present, keep = LeadMasking(masked=(10,)).draw(4, L, M, drawing())
    assert (keep >= 0).all()  # the fast path
    fast = model(ecg, present, keep)
    assert fast.token_mask is None and fast.tokens.shape == (4, 74, 16)

    fuller, more = LeadMasking(masked=(9,)).draw(1, L, M, drawing())
    padded = torch.cat([torch.nn.functional.pad(keep, (0, 37), value=-1), more])
    both = model(torch.cat([ecg, ecg[:1]]), torch.cat([present, fuller]), padded)
    assert both.token_mask.sum(1).tolist() == [74] * 4 + [111]
    assert torch.allclose(both.tokens[:4, :74], fast.tokens, atol=1e-5)
    assert torch.allclose(both.cls[:4], fast.cls, atol=1e-5)
    for i in range(4):
        alone = model(ecg[i : i + 1], present[i : i + 1], keep[i : i + 1])
        assert torch.allclose(alone.tokens[0], fast.tokens[i], atol=1e-5)
        assert torch.allclose(alone.cls[0], fast.cls[i], atol=1e-5)

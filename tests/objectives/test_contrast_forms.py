"""Test the forms of the contrast against a batch of three that is written out by hand."""

from math import exp, log

import pytest
import torch

from ecg_lib.errors import ConfigError
from ecg_lib.objectives.parts.contrast_forms import contrast_loss
from ecg_lib.objectives.parts.losses import clip_loss

# Texts are unit vectors along three axes, so the cosine of ECG i and text j is ECG i's entry j.
ECG = torch.tensor([[0.6, 0.8, 0.0], [0.0, 1.0, 0.0], [0.48, 0.64, 0.6]])
TEXT = torch.eye(3)
SCALE = 2.0
# Scaled cosines: 1.2 1.6 0 | 0 2 0 | 0.96 1.28 1.2
SAME = torch.tensor([[True, False, True], [False, True, False], [True, False, True]])  # 0 and 2

INFONCE_ECG = (
    -log(exp(1.2) / (exp(1.2) + exp(1.6) + exp(0)))
    - log(exp(2) / (exp(0) + exp(2) + exp(0)))
    - log(exp(1.2) / (exp(0.96) + exp(1.28) + exp(1.2)))
) / 3
INFONCE_TEXT = (
    -log(exp(1.2) / (exp(1.2) + exp(0) + exp(0.96)))
    - log(exp(2) / (exp(1.6) + exp(2) + exp(1.28)))
    - log(exp(1.2) / (exp(0) + exp(0) + exp(1.2)))
) / 3
DECOUPLED_ECG = (
    -log(exp(1.2) / (exp(1.6) + exp(0)))
    - log(exp(2) / (exp(0) + exp(0)))
    - log(exp(1.2) / (exp(0.96) + exp(1.28)))
) / 3
DECOUPLED_TEXT = (
    -log(exp(1.2) / (exp(0) + exp(0.96)))
    - log(exp(2) / (exp(1.6) + exp(1.28)))
    - log(exp(1.2) / (exp(0) + exp(0)))
) / 3
PRINTED = (
    # i = 1, j = 1 2 3
    -log(exp(1.2) / (exp(1.6) + exp(0)))
    - log(exp(1.6) / (exp(1.6) + exp(0)))
    - log(exp(0) / (exp(1.6) + exp(0)))
    # i = 2
    - log(exp(0) / (exp(0) + exp(0)))
    - log(exp(2) / (exp(0) + exp(0)))
    - log(exp(0) / (exp(0) + exp(0)))
    # i = 3
    - log(exp(0.96) / (exp(0.96) + exp(1.28)))
    - log(exp(1.28) / (exp(0.96) + exp(1.28)))
    - log(exp(1.2) / (exp(0.96) + exp(1.28)))
) / 3


@pytest.mark.parametrize(
    "form, directions, by_hand",
    [
        ("infonce", "ecg", INFONCE_ECG),
        ("infonce", "sum", INFONCE_ECG + INFONCE_TEXT),
        ("infonce", "mean", (INFONCE_ECG + INFONCE_TEXT) / 2),
        ("decoupled", "ecg", DECOUPLED_ECG),
        ("decoupled", "sum", DECOUPLED_ECG + DECOUPLED_TEXT),
        ("decoupled", "mean", (DECOUPLED_ECG + DECOUPLED_TEXT) / 2),
        ("printed", "ecg", PRINTED),
    ],
)
def test_a_batch_of_three_by_hand(form, directions, by_hand):
    loss = contrast_loss(ECG, TEXT, SCALE, form, directions)
    assert loss.item() == pytest.approx(by_hand, abs=1e-5)


@pytest.mark.parametrize(
    "form, directions, by_hand",
    [
        (
            "infonce",
            "sum",
            (
                -log(exp(1.2) / (exp(1.2) + exp(1.6)))
                - log(exp(2) / (exp(0) + exp(2) + exp(0)))
                - log(exp(1.2) / (exp(1.28) + exp(1.2)))
                - log(exp(1.2) / (exp(1.2) + exp(0)))
                - log(exp(2) / (exp(1.6) + exp(2) + exp(1.28)))
                - log(exp(1.2) / (exp(0) + exp(1.2)))
            )
            / 3,
        ),
        (
            "decoupled",
            "ecg",
            (
                -log(exp(1.2) / exp(1.6))
                - log(exp(2) / (exp(0) + exp(0)))
                - log(exp(1.2) / exp(1.28))
            )
            / 3,
        ),
        (
            "printed",
            "ecg",
            (
                3 * 1.6 - (1.2 + 1.6 + 0)
                + 3 * log(2) - (0 + 2 + 0)
                + 3 * 1.28 - (0.96 + 1.28 + 1.2)
            )
            / 3,
        ),
    ],
)  # fmt: skip
def test_equal_reports_leave_the_denominators(form, directions, by_hand):
    loss = contrast_loss(ECG, TEXT, SCALE, form, directions, same=SAME)
    assert loss.item() == pytest.approx(by_hand, abs=1e-5)


def test_infonce_in_the_mean_is_clip_s_loss():
    draw = torch.Generator().manual_seed(0)
    ecg, text = torch.randn(2, 6, 4, generator=draw).mul(0.5)
    same = torch.eye(6, dtype=torch.bool)
    same[1, 4] = same[4, 1] = True
    for equal in (None, same):
        mean = contrast_loss(ecg, text, 3.0, "infonce", "mean", equal)
        torch.testing.assert_close(mean, clip_loss(ecg, text, torch.tensor(3.0), equal))


def test_printed_pulls_at_every_pair_alike_and_repels_no_own_report():
    """At equal cosines, eq. 2 has a gradient at the diagonal only, and never one that pushes."""
    ecg = torch.zeros(4, 4, requires_grad=True)  # cosines all 0
    contrast_loss(ecg, torch.eye(4), 1.0, "printed", "ecg").backward()
    # d/ds_ij = (4 softmax_j - 1) / 4; softmax is 0 on the diagonal and 1/3 elsewhere.
    expected = torch.full((4, 4), 4 / 3 / 4 - 1 / 4).fill_diagonal_(-1 / 4)
    torch.testing.assert_close(ecg.grad, expected)


@pytest.mark.parametrize("form", ["decoupled", "printed"])
def test_a_row_without_negatives_is_left_out(form):
    ecg = ECG.clone().requires_grad_()
    everyone = torch.ones(3, 3, dtype=torch.bool)
    loss = contrast_loss(ecg, TEXT, SCALE, form, "ecg", same=everyone)
    loss.backward()
    assert loss.item() == 0 and torch.equal(ecg.grad, torch.zeros(3, 3))
    assert contrast_loss(ECG[:1], TEXT[:1], SCALE, form, "ecg").item() == 0  # a batch of one


@pytest.mark.parametrize(
    "form, directions, says",
    [
        ("dcl", "sum", "contrast is 'dcl'; choose infonce, decoupled, printed"),
        ("infonce", "text", "directions is 'text'; choose sum, mean, ecg"),
        ("printed", "sum", "contrast=printed is defined from ECG to report; set directions=ecg"),
    ],
)
def test_impossible_settings_are_named(form, directions, says):
    with pytest.raises(ConfigError) as caught:
        contrast_loss(ECG, TEXT, SCALE, form, directions)
    assert str(caught.value) == says

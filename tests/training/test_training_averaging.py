"""Tests of weight averaging: the mean over training steps, and batch norms renewed to fit it."""

import copy

import pytest
import torch
from torch import nn
from transformers import TrainerCallback

from ecg_lib.training import fit
from ecg_lib.training.averaging import Averaging, renew_batch_norm


class Small(nn.Module):
    """A linear layer behind batch norm, with the Trainer's kind of output."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.linear = nn.BatchNorm1d(3), nn.Linear(3, 1)

    def forward(self, x):
        return {"loss": (self.linear(self.norm(x)) - x.sum(1, keepdim=True)).square().mean()}


class Passed(TrainerCallback):
    """A callback that keeps a copy of the weights after every step."""

    def __init__(self):
        self.weights = []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.weights.append(model.linear.weight.detach().clone())


def rows(n, seed=0):
    return list(torch.randn(n, 3, generator=torch.Generator().manual_seed(seed)))


def collate(batch):
    return {"x": torch.stack(batch)}


@pytest.fixture
def passed():
    """A function that trains and returns the weights of every step, the curve and the model."""

    def train(folder, average):
        kept, model = Passed(), Small()
        curve = fit.fit(
            model,
            rows(80),
            collate,
            folder,
            fit.Schedule(epochs=1, batch_size=4, learning_rate=0.05, average=average),
            callbacks=[kept],
        )
        return kept.weights, curve, model

    return train


def test_weights_become_the_mean_of_the_last_half_at_a_constant_rate(passed, tmp_path):
    weights, curve, model = passed(tmp_path, 0.5)
    assert len(weights) == 20
    torch.testing.assert_close(model.linear.weight, torch.stack(weights[10:]).mean(0))
    assert curve["learning_rate"].iloc[-1] == pytest.approx(0.05)


def test_without_averaging_the_last_weights_stay_and_the_rate_falls(passed, tmp_path):
    weights, curve, model = passed(tmp_path, 0.0)
    torch.testing.assert_close(model.linear.weight, weights[-1], rtol=0, atol=0)
    assert curve["learning_rate"].iloc[-1] < 0.01


def test_batch_norm_is_renewed_as_the_mean_over_the_batches():
    model = Small().eval()
    before = copy.deepcopy(model.state_dict())
    batches = [torch.stack(rows(8, seed)) * 3 + 1 for seed in range(5)]
    renew_batch_norm(model, ({"x": batch} for batch in batches))
    torch.testing.assert_close(
        model.norm.running_mean, torch.stack([b.mean(0) for b in batches]).mean(0)
    )
    torch.testing.assert_close(
        model.norm.running_var, torch.stack([b.var(0) for b in batches]).mean(0)
    )
    assert model.norm.momentum == 0.1 and not model.training
    torch.testing.assert_close(model.linear.weight, before["linear.weight"], rtol=0, atol=0)


def test_nothing_happens_where_no_step_was_averaged():
    model = Small()
    before = copy.deepcopy(model.state_dict())
    Averaging(0.5).apply(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

"""Tests of the training loop: curves, resuming to the same weights, companions, callbacks."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from transformers import TrainerCallback

from ecg_lib.training.fit import Schedule, fit

DATA = [{"x": float(x), "y": 3.0 * x} for x in np.linspace(-1, 1, 32)]
SCHEDULE = Schedule(epochs=4, batch_size=8, learning_rate=0.1)


def pairs_of_numbers(batch):
    return {k: torch.tensor([r[k] for r in batch]) for k in ("x", "y")}


class Line(nn.Module):
    """The model y = w x, which can crash on purpose in the middle of training."""

    def __init__(self, crash_at=None):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))
        self.steps, self.crash_at = 0, crash_at

    def forward(self, x, y):
        self.steps += self.training
        if self.crash_at and self.steps > self.crash_at:
            raise RuntimeError("power cut")
        return {"loss": ((self.w * x - y) ** 2).mean()}


class Taught(Line):
    """A line pulled towards a teacher that follows it, with random noise in each batch."""

    def __init__(self, crash_at=None):
        super().__init__(crash_at)
        self.teacher = nn.Linear(1, 1, bias=False).requires_grad_(False)
        self.other = nn.Linear(1, 1, bias=False).requires_grad_(False)
        with torch.no_grad():
            self.teacher.weight.fill_(1.0), self.other.weight.fill_(2.0)
        self.generator = torch.Generator().manual_seed(5)

    def companions(self):
        return ["teacher."]

    def get_extra_state(self):
        return self.generator.get_state()

    def set_extra_state(self, state):
        self.generator.set_state(state)

    def collate(self, batch):
        noise = torch.randn(len(batch), generator=self.generator)
        numbers = pairs_of_numbers(batch)
        return {**numbers, "y": numbers["y"] + 0.1 * noise}

    def forward(self, x, y):
        loss = super().forward(x, y)["loss"]
        return {"loss": loss + (self.w * x - self.teacher(x[:, None])[:, 0]).square().mean()}


class Follow(TrainerCallback):
    """A callback that makes the teacher a moving average of the student."""

    def __init__(self):
        self.steps = []

    @torch.no_grad()
    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.steps.append(state.global_step)
        model.teacher.weight.lerp_(model.w, 0.2)


def trained(model, folder, schedule=SCHEDULE, **options):
    """Train a `Taught` and return its curve."""
    return fit(model, DATA, model.collate, folder, schedule, seed=1, **options)


def test_the_held_out_loss_stands_in_the_curve_once_an_epoch_and_teaches_nothing(tmp_path):
    held_out = [{"x": 1.0, "y": y} for y in (0.0, 1.0, 2.0, 3.0)]
    alone, watched = Line(), Line()
    fit(alone, DATA, pairs_of_numbers, tmp_path / "alone", SCHEDULE, seed=1)
    curve = fit(watched, DATA, pairs_of_numbers, tmp_path / "run", SCHEDULE, seed=1, valid=held_out)
    assert torch.equal(alone.w, watched.w)
    found = curve["valid_loss"].dropna()
    assert len(found) == 4
    expected = np.mean([(watched.w.item() - row["y"]) ** 2 for row in held_out])
    assert found.iloc[-1] == pytest.approx(expected, rel=1e-4)


def test_an_interrupted_training_resumes_to_the_same_weights(tmp_path):
    whole, broken, resumed = Line(), Line(crash_at=9), Line()
    fit(whole, DATA, pairs_of_numbers, tmp_path / "whole", SCHEDULE, seed=1)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(broken, DATA, pairs_of_numbers, tmp_path / "run", SCHEDULE, seed=1)
    curve = fit(resumed, DATA, pairs_of_numbers, tmp_path / "run", SCHEDULE, seed=1)
    assert resumed.steps == 8  # two of four epochs were already done
    assert torch.allclose(resumed.w, whole.w, atol=1e-6)
    assert curve["epoch"].max() == 4


def test_a_teacher_and_a_generator_survive_an_interruption(tmp_path):
    whole, broken, resumed = Taught(), Taught(crash_at=9), Taught()
    held_out = {"valid": DATA[:8]}  # its batches are drawn from the same generator
    curve = trained(whole, tmp_path / "whole", callbacks=[Follow()], **held_out)
    with pytest.raises(RuntimeError, match="power cut"):
        trained(broken, tmp_path / "run", callbacks=[Follow()], **held_out)
    again = trained(resumed, tmp_path / "run", callbacks=[Follow()], **held_out)
    assert resumed.steps == 8
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    pd.testing.assert_frame_equal(again, curve)
    assert not torch.equal(whole.teacher.weight, torch.ones(1, 1))
    assert torch.equal(whole.other.weight, torch.full((1, 1), 2.0))


def test_an_average_of_weights_survives_an_interruption(tmp_path):
    averaged = Schedule(epochs=4, batch_size=8, learning_rate=0.1, average=0.9)
    whole, broken, resumed = Taught(), Taught(crash_at=9), Taught()
    trained(whole, tmp_path / "whole", averaged)
    with pytest.raises(RuntimeError, match="power cut"):
        trained(broken, tmp_path / "run", averaged)
    trained(resumed, tmp_path / "run", averaged)
    assert torch.equal(resumed.w, whole.w)


def test_a_callback_is_told_of_each_step_after_it_is_made(tmp_path):
    model, told = Taught(), Follow()
    trained(model, tmp_path, callbacks=[told])
    assert told.steps == list(range(1, 17))


def test_a_checkpoint_holds_what_changes_and_not_what_is_frozen(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr("ecg_lib.training.fit.save_file", lambda held, file: kept.append(set(held)))
    trained(Taught(), tmp_path)
    assert set.union(*kept) == {"w", "teacher.weight", "_extra_state"}


def test_a_schedule_takes_the_fields_that_settings_share_with_it():
    settings = type("S", (), {"epochs": 3, "batch_size": 64, "learning_rate": 0.1, "words": 9})
    made = Schedule.of(settings, batch_size=8, order="by length")
    assert made == Schedule(3, 8, 0.1, order="by length")

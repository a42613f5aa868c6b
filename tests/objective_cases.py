"""Small versions of the objectives in `conf/objective`, and a tiny encoder, for tests."""

from dataclasses import fields
from pathlib import Path

import torch
import yaml

from ecg_lib.config import TextEncoder
from ecg_lib.encoders.stem_vit import StemVit, StemVitConfig
from ecg_lib.objectives import objective
from ecg_lib.objectives.objective import Given

CONF = Path(__file__).resolve().parent.parent / "conf" / "objective"
SMALL = {"batch_size": 8, "width": 16, "epochs": 2, "ecgs": 64, "learning_rate": 3e-3}
TEXT = TextEncoder(width=16, depth=1, heads=2, vocabulary=400)


def values(name, **changes):
    """Return an objective's section of a configuration: its file with a few fields changed."""
    return {**yaml.safe_load((CONF / f"{name}.yaml").read_text()), **changes}


def settings(name, **changes):
    """Return small settings for an objective; fields of `SMALL` that it lacks are left out."""
    known = {field.name for field in fields(objective.find(name).Settings)}
    small = {field: value for field, value in SMALL.items() if field in known}
    return objective.settings(values(name, **{**small, **changes}))


def encoder():
    """Return an untrained encoder with 8 tokens."""
    return StemVit(StemVitConfig(width=16, depth=1, heads=2, mlp=32, patch=125, dropout=0.0))


def built(name, store, given=None, **changes):
    """Build a small objective on every ECG of a store."""
    torch.manual_seed(0)
    given = given or Given(0, TEXT, store, range(len(store)))
    return objective.find(name).Objective(encoder(), settings(name, **changes), given)

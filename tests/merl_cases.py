"""Small MERLs and K-MERLs for tests, with an encoder that can drop tokens."""

from dataclasses import replace

import objective_cases as cases
import torch
from transformers import AutoConfig, AutoModel

from ecg_lib.encoders.base import EcgEncoder, EcgEncoderConfig, EncoderOutput
from ecg_lib.objectives.objective import Given

FROZEN = replace(cases.TEXT, trainable=False)
QUERIES = {"layers": 1, "heads": 2, "head_width": 8, "width": 16, "hidden": 32, "dropout": 0.0}


class SegmentsConfig(EcgEncoderConfig):
    model_type = "test_segments"

    def __init__(self, segment: int = 100, width: int = 16, **kwargs):
        self.segment, self.width = segment, width
        super().__init__(**kwargs)

    @property
    def steps(self):
        return self.ecg_input.samples // self.segment

    @property
    def tokens(self):
        return self.steps * len(self.ecg_input.leads)


class Segments(EcgEncoder):
    """One linear layer per segment of a lead; leads and segments that are not shown are dropped."""

    config_class = SegmentsConfig

    def __init__(self, config):
        super().__init__(config)
        self.project = torch.nn.Linear(config.segment, config.width)
        self.places = torch.nn.Parameter(torch.randn(config.tokens, config.width) * 0.1)
        self.mix = torch.nn.Linear(config.width, config.width)
        self.post_init()
        self.told = []  # what each call was given

    def forward(self, ecg, lead_mask=None, keep=None):
        self.told.append((lead_mask, keep))
        tokens = self.project(ecg.unflatten(-1, (-1, self.config.segment)).flatten(1, 2))
        tokens = self.mix(torch.relu(tokens + self.places))  # (B, L M, D)
        valid = torch.ones(tokens.shape[:2], dtype=torch.bool)
        if lead_mask is not None:
            valid = lead_mask.repeat_interleave(self.config.steps, 1)
        if keep is not None:
            at = keep.clamp(min=0)
            tokens = tokens.gather(1, at[..., None].expand(-1, -1, tokens.shape[-1]))
            valid = valid.gather(1, at) & (keep >= 0)
        tokens = tokens * valid[..., None]
        return EncoderOutput(
            tokens=tokens, cls=tokens.sum(1) / valid.sum(1, keepdim=True), token_mask=valid
        )


AutoConfig.register("test_segments", SegmentsConfig)
AutoModel.register(SegmentsConfig, Segments)


def learner(name, store, text=FROZEN, encoder=None, train=None, **changes):
    """Build a small objective on a store; its text encoder is frozen unless `text` says else."""
    torch.manual_seed(0)
    if name == "kmerl":
        changes = {"query_network": QUERIES} | changes
    rows = range(len(store)) if train is None else train
    made = cases.objective.find(name).Objective
    given = Given(0, text, store, rows)
    return made(encoder or cases.encoder(), cases.settings(name, **changes), given)


def batch(made, rows=8):
    return made.collate(made.rows()[0][:rows])

"""Draws of present leads and kept segments, in place of `ecg_lib.objectives.parts.lead_masks`."""

from dataclasses import dataclass

import torch

PER_LEAD, JOINT, NONE = "per_lead", "joint", "none"


@dataclass(frozen=True)
class LeadMasking:
    masked: tuple
    per_ecg: bool
    segments: str
    share: float

    def draw(self, batch, leads, steps, generator):
        which = torch.randint(
            len(self.masked), (batch if self.per_ecg else 1,), generator=generator
        )
        number = leads - torch.tensor(list(self.masked))[which]  # present leads
        rank = torch.rand(batch, leads, generator=generator).argsort(1).argsort(1)
        present = rank < number[:, None]
        noise = torch.rand(batch, leads, steps, generator=generator)
        each = int((1 - self.share) * steps)
        if self.segments == JOINT:
            noise = noise.masked_fill(~present[..., None], 2).flatten(1)
            kept = noise.argsort(1).argsort(1) < each * present.sum(1, keepdim=True)
        else:
            kept = ((noise.argsort(2).argsort(2) < each) & present[..., None]).flatten(1)
        rows = [row.nonzero().flatten() for row in kept]
        return present, torch.nn.utils.rnn.pad_sequence(rows, True, -1)

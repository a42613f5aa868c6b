"""Draws of present leads and kept segments, in place of `ecg_lib.objectives.parts.lead_masks`."""

import torch


def present_leads(batch, leads, masked, generator):
    choice = torch.randint(len(masked), (batch,), generator=generator)
    number = leads - torch.tensor(list(masked))[choice]  # (B,) present leads
    rank = torch.rand(batch, leads, generator=generator).argsort(1).argsort(1)
    return rank < number[:, None]


def kept_segments(lead_mask, segments, share, how, generator):
    batch, leads = lead_mask.shape
    draws = torch.rand(batch, leads, segments, generator=generator)
    kept = int((1 - share) * segments)
    if how == "lead":
        chosen = (draws.argsort(2).argsort(2) < kept) & lead_mask[:, :, None]
    else:
        draws = draws.masked_fill(~lead_mask[:, :, None], 2).flatten(1)
        most = (lead_mask.sum(1) * kept)[:, None]
        chosen = draws.argsort(1).argsort(1) < most
    rows = [row.nonzero().flatten() for row in chosen.flatten(1)]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)

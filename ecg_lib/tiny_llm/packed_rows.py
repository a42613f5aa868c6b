"""Training rows with many questions about one text, each answered as if it were asked alone.

A report is read once and its questions follow one another, but a question sees only the report
and itself. Were the turns before it in sight, the model would learn to copy from their answers
what it should find in the report.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from ecg_lib.ecg_llm.processor import IGNORE, EcgLlmProcessor
from ecg_lib.tiny_llm.blurred_reports import Mixture, batch_of, mixed_embeddings

_PAD = -1


def packed_row(
    prefix: Sequence[int],
    turns: Sequence[tuple[Sequence[int], Sequence[int]]],
    soft: Mixture | None = None,
) -> dict:
    """Ids of a text and of question-answer turns -> one training row.

    ``soft`` says what is mixed into the slots of the text, where it has any.

    ``turn`` is 0 for the text and 1, 2, ... for its questions; ``position`` goes on from the text's
    end in every turn. Labels ignore all but the answers.
    """
    row = {
        "input_ids": list(prefix),
        "labels": [IGNORE] * len(prefix),
        "turn": [0] * len(prefix),
        "position": list(range(len(prefix))),
        "soft": soft or Mixture([], [], []),
    }
    for number, (asked, said) in enumerate(turns, start=1):
        n = len(asked) + len(said)
        row["input_ids"] += [*asked, *said]
        row["labels"] += [IGNORE] * len(asked) + list(said)
        row["turn"] += [number] * n
        row["position"] += range(len(prefix), len(prefix) + n)
    return row


class PackedLoss(nn.Module):
    """A causal LM whose forward pass gives the loss on the answers of packed rows.

    Parameters
    ----------
    slot_id : stands in ``input_ids`` where words are mixed
    """

    def __init__(self, lm: PreTrainedModel, slot_id: int):
        super().__init__()
        self.lm, self.slot_id = lm, slot_id

    def forward(
        self,
        input_ids: Tensor,
        turn: Tensor,
        position: Tensor,
        labels: Tensor,
        soft_row: Tensor,
        soft_place: Tensor,
        soft_token: Tensor,
        soft_weight: Tensor,
    ) -> dict[str, Tensor]:
        """The first four (B, L), right-padded; logits are computed only where labels are.

        The others are of `blurred_reports.batch_of`, each (N,); N is 0 where all is written.
        """
        slots = input_ids == self.slot_id  # (B, L)
        table = self.lm.get_input_embeddings()
        embeds = table(input_ids.masked_fill(slots, 0))  # (B, L, H)
        if len(soft_row):
            embeds = mixed_embeddings(
                embeds, slots, table.weight, soft_row, soft_place, soft_token, soft_weight
            )
        own = turn[:, :, None] == turn[:, None, :]  # (B, L, L): query, key
        seen = (own | (turn == 0)[:, None, :]).tril()
        dtype = self.lm.get_input_embeddings().weight.dtype
        mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
        mask.masked_fill_(~seen, torch.finfo(dtype).min)
        hidden = self.lm.get_decoder()(
            inputs_embeds=embeds,
            attention_mask=mask[:, None],
            position_ids=position,
            use_cache=False,
        ).last_hidden_state  # (B, L, H)
        wanted = labels[:, 1:] != IGNORE  # position t predicts t + 1
        logits = self.lm.get_output_embeddings()(hidden[:, :-1][wanted])  # (answers, V)
        return {"loss": F.cross_entropy(logits, labels[:, 1:][wanted])}


def collate(rows: Sequence[dict], processor: EcgLlmProcessor) -> dict[str, Tensor]:
    """Rows of `packed_row` -> right-padded tensors."""
    batch = processor.batch(rows)
    return {
        "input_ids": batch["input_ids"],
        "labels": batch["labels"],
        "turn": processor.pad([row["turn"] for row in rows], _PAD),
        "position": processor.pad([row["position"] for row in rows], 0),
        **batch_of([row["soft"] for row in rows]),
    }

"""Language-model loss on packed rows (`ecg_llm.packing`) of written or blurred texts."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from ecg_lib.ecg_llm.frozen_llm import embeddings_of
from ecg_lib.ecg_llm.packing import additive, packed_batch
from ecg_lib.ecg_llm.processor import IGNORE, EcgLlmProcessor
from ecg_lib.tiny_llm.blurred_reports import Mixture, batch_of, mixed_embeddings

SOFT = "soft"  # row key of the mixture in its slots; absent in rows without slots


class PackedLoss(nn.Module):
    """A causal LM whose forward pass returns the loss on the answers of packed rows.

    Parameters
    ----------
    lm : PreTrainedModel
        The causal language model.
    slot_id : int
        Token id in `input_ids` that marks a slot.
    """

    def __init__(self, lm: PreTrainedModel, slot_id: int):
        super().__init__()
        self.lm, self.slot_id = lm, slot_id

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        labels: Tensor,
        soft_row: Tensor,
        soft_place: Tensor,
        soft_token: Tensor,
        soft_weight: Tensor,
    ) -> dict[str, Tensor]:
        """Return the loss of a batch from `collate`; only labelled positions get logits.

        The last four arguments come from `blurred_reports.batch_of`, each of shape (N,). N is 0 if
        all reports are written.
        """
        slots = input_ids == self.slot_id  # (B, L)
        table = embeddings_of(self.lm)
        embeds = table(input_ids.masked_fill(slots, 0))  # (B, L, H)
        if len(soft_row):
            embeds = mixed_embeddings(
                embeds, slots, table.weight, soft_row, soft_place, soft_token, soft_weight
            )
        hidden = self.lm.get_decoder()(
            inputs_embeds=embeds,
            attention_mask=additive(attention_mask, embeds.dtype),
            position_ids=position_ids,
            use_cache=False,
        ).last_hidden_state  # (B, L, H)
        wanted = labels[:, 1:] != IGNORE  # position t predicts t + 1
        logits = self.lm.get_output_embeddings()(hidden[:, :-1][wanted])  # (answers, V)
        return {"loss": F.cross_entropy(logits, labels[:, 1:][wanted])}


def collate(rows: Sequence[dict], processor: EcgLlmProcessor) -> dict[str, Tensor]:
    """Return packed rows as right-padded tensors and their mixtures as flat tensors."""
    mixtures = [row.get(SOFT, Mixture([], [], [])) for row in rows]
    return packed_batch(rows, processor) | batch_of(mixtures)

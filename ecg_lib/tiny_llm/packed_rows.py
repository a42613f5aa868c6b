"""The loss of a language model on packed rows about written texts (`ecg_llm.packing`)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from ecg_lib.ecg_llm.packing import additive
from ecg_lib.ecg_llm.processor import IGNORE


class PackedLoss(nn.Module):
    """A causal LM whose forward pass gives the loss on the answers of packed rows."""

    def __init__(self, lm: PreTrainedModel):
        super().__init__()
        self.lm = lm

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """A `packed_batch`; logits are computed only where labels are."""
        dtype = self.lm.get_input_embeddings().weight.dtype
        hidden = self.lm.get_decoder()(
            input_ids=input_ids,
            attention_mask=additive(attention_mask, dtype),
            position_ids=position_ids,
            use_cache=False,
        ).last_hidden_state  # (B, L, H)
        wanted = labels[:, 1:] != IGNORE  # position t predicts t + 1
        logits = self.lm.get_output_embeddings()(hidden[:, :-1][wanted])  # (answers, V)
        return {"loss": F.cross_entropy(logits, labels[:, 1:][wanted])}

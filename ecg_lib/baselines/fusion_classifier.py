"""A multi-label classifier over ECG tokens and question, after the Fusion Transformer of ECG-QA.

The traditional methods of Table 3 know every possible answer beforehand and select those that fit.
This classifier reads the same frozen encoder's tokens as the ECG-LLM and is trained on the same
rows. The two therefore differ in how they answer, not in what they see.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedConfig, PreTrainedModel

from ecg_lib.ecg_llm.projector import Projector

CLS, FIRST, SECOND, QUESTION = range(4)  # segments of the sequence: [CLS], both ECGs, question


class FusionConfig(PreTrainedConfig):
    """Sizes; `words` is the size of the vocabulary, `answers` the length of the closed list."""

    model_type = "fusion_classifier"

    def __init__(
        self,
        words: int = 1500,
        answers: int = 104,
        encoder_width: int = 768,
        width: int = 128,
        depth: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
        positions: int = 512,
        **kwargs,
    ):
        self.words, self.answers, self.encoder_width = words, answers, encoder_width
        self.width, self.depth, self.heads = width, depth, heads
        self.dropout, self.positions = dropout, positions
        super().__init__(**kwargs)


class FusionClassifier(PreTrainedModel):
    """A transformer over [CLS], the tokens of one or two ECGs and the words of the question.

    Its output is one sigmoid per answer. ECG tokens are joined by fours and projected, as for the
    LLM (equation 5).
    """

    config_class = FusionConfig
    main_input_name = "input_ids"

    def __init__(self, config: FusionConfig):
        super().__init__(config)
        width = config.width
        self.projector = Projector(config.encoder_width, width)
        self.words = nn.Embedding(config.words, width)
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        self.segments = nn.Parameter(torch.randn(4, width) * 0.02)
        self.positions = nn.Parameter(torch.randn(config.positions, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width,
            config.heads,
            2 * width,
            config.dropout,
            "gelu",
            batch_first=True,
            norm_first=True,
        )
        self.mixer = nn.TransformerEncoder(layer, config.depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, config.answers)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Keep PyTorch's defaults, except that word vectors are as small as the positions."""
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        ecg_tokens: Tensor,
        ecgs: Tensor,
        admitted: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the logits (B, A) and, with labels, the loss over the admitted answers.

        Parameters
        ----------
        input_ids, attention_mask : (B, L)
            The padded questions.
        ecg_tokens : (E, n, D) float32
            All ECGs of the batch in reading order.
        ecgs : (B,) int64
            Number of ECGs of each row, 1 or 2.
        admitted, labels : (B, A) bool, optional
            Which answers each question admits, and which are right.
        """
        projected = self.projector(ecg_tokens)  # (E, n / 4, H)
        each = projected.shape[1]
        ecg = pad_sequence(
            [part.flatten(0, 1) for part in projected.split(ecgs.tolist())], batch_first=True
        )  # (B, n / 4 or n / 2, H)
        place = torch.arange(ecg.shape[1], device=ecg.device)
        ecg = ecg + self.positions[place % each] + self.segments[FIRST + place // each]
        question = (
            self.words(input_ids) + self.positions[: input_ids.shape[1]] + self.segments[QUESTION]
        )
        cls = (self.cls + self.segments[CLS]).expand(len(ecgs), 1, -1)
        there = torch.cat(
            [
                torch.ones_like(ecgs[:, None], dtype=torch.bool),
                place < each * ecgs[:, None],
                attention_mask.bool(),
            ],
            dim=1,
        )
        mixed = self.mixer(torch.cat([cls, ecg, question], dim=1), src_key_padding_mask=~there)
        logits = self.head(self.norm(mixed[:, 0]))  # (B, A)
        if labels is None:
            return {"logits": logits}
        loss = F.binary_cross_entropy_with_logits(logits[admitted], labels[admitted].float())
        return {"loss": loss, "logits": logits}

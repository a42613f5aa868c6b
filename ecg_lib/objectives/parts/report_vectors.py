"""Text vectors before their projection, each computed once if the text encoder is frozen."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ecg_lib.encoders.text_encoder import TextEncoder
from ecg_lib.encoders.token_cache import on_gpu
from ecg_lib.objectives.parts.clip_text import tokenised

_BATCH = 128


def text_vectors(
    encoder: TextEncoder, tokenizer: Any, texts: Sequence[str], max_tokens: int
) -> Tensor:
    """Encode texts as the encoder stands (mode, gradients): (N, W) on its device."""
    words = tokenised(tokenizer, texts, max_tokens)
    device = next(encoder.parameters()).device
    return encoder(*(part.to(device) for part in words.values()))


def random_vectors(names: Sequence[str], width: int) -> Tensor:
    """Return a standard normal vector per name that depends on the name's letters alone.

    They stand in for text vectors in a control: the model can tell names apart, but two names that
    mean the same are as far from each other as any two.

    Returns
    -------
    (Q, width) float32
    """
    rows = []
    for name in names:
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1
        rows.append(torch.randn(width, generator=torch.Generator().manual_seed(seed)))
    return torch.stack(rows)


class ReportVectors:
    """The vectors of an objective's texts.

    Parameters
    ----------
    encoder : TextEncoder
    tokenizer : PreTrainedTokenizerBase
    max_tokens : int
        Longer texts are cut off.
    dropout : bool
        Whether a frozen encoder reads every text anew with its dropout, as in MERL's code.
    """

    def __init__(self, encoder: TextEncoder, tokenizer: Any, max_tokens: int, dropout: bool):
        self.encoder, self.tokenizer, self.max_tokens = encoder, tokenizer, max_tokens
        self.trained = any(p.requires_grad for p in encoder.parameters())
        self.each_step = self.trained or dropout
        self._row: dict[str, int] = {}
        self._known: Tensor | None = None  # (texts, W), on the CPU

    def prepare(self, texts: Sequence[str]) -> None:
        """Encode the distinct texts once, unless they must be read anew in every step.

        The order is fixed, so that a resumed run has the same vectors to the last bit: rounding
        depends on the texts that share a batch.
        """
        new = sorted(set(texts) - self._row.keys(), key=lambda text: (len(text), text))
        if self.each_step or not new:
            return
        rows = [] if self._known is None else [self._known]
        training = self.encoder.training
        with torch.no_grad(), on_gpu(self.encoder.eval()):
            for at in range(0, len(new), _BATCH):
                part = new[at : at + _BATCH]
                rows.append(self._encode(part).float().cpu())
        self.encoder.train(training)
        self._row |= {text: len(self._row) + i for i, text in enumerate(new)}
        self._known = torch.cat(rows)

    def of(self, texts: Sequence[str]) -> Tensor:
        """Return the vectors of texts, (N, W); without gradients if the encoder is frozen."""
        if self.each_step:
            with torch.set_grad_enabled(self.trained and torch.is_grad_enabled()):
                return self._encode(texts)
        self.prepare(texts)
        assert self._known is not None  # `prepare` made it
        rows = torch.tensor([self._row[text] for text in texts])
        return self._known[rows].to(next(self.encoder.parameters()).device)

    def _encode(self, texts: Sequence[str]) -> Tensor:
        return text_vectors(self.encoder, self.tokenizer, texts, self.max_tokens)

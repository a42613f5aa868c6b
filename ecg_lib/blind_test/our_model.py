"""Put an ECG-LLM of this library to the blind test."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ecg_lib.blind_test.replies import Reply
from ecg_lib.ecg_llm.answering import CLOSED, generate_answers, score_yes
from ecg_lib.ecg_llm.ask import load_model, worded_as_yes_no
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.encoders.token_cache import encode


class OurModel:
    """A saved ECG-LLM as a model under test.

    Questions worded for yes or no are scored, so P(yes) comes with them; the answers to others are
    generated.

    Parameters
    ----------
    model : EcgLlm
    processor : EcgLlmProcessor
    name : str
        Changes when the model does, because replies are kept under it.
    """

    batch_size = 512

    def __init__(self, model: EcgLlm, processor: EcgLlmProcessor, name: str):
        self.model, self.processor, self.name = model.eval(), processor, name
        self.title = name.partition(" ")[0]
        self.rate = model.encoder.config.ecg_input.rate

    @classmethod
    def load(cls, folder: str | Path) -> OurModel:
        """Load a folder that `save_pretrained` wrote, such as checkpoints/demo/stage2/de-biased."""
        digest = hashlib.sha256()
        for file in sorted(Path(folder).rglob("*.safetensors")):
            digest.update(file.read_bytes())
        model, processor = load_model(folder)
        return cls(model, processor, f"{Path(folder).resolve().name} {digest.hexdigest()[:8]}")

    @torch.no_grad()
    def __call__(
        self, ecgs: Sequence[Sequence[np.ndarray]], questions: Sequence[str]
    ) -> list[Reply]:
        """Answer questions; each different ECG is encoded once."""
        tokens, names = self._encoded(ecgs)
        replies: list[Reply] = [Reply("")] * len(questions)
        closed = [worded_as_yes_no(question) for question in questions]
        for scored in (True, False):
            at = [k for k, own in enumerate(closed) if own == scored]
            if not at:
                continue
            asked, ids = [questions[k] for k in at], [names[k] for k in at]
            given = (self.model, self.processor, asked, ids, tokens)
            if scored:
                p_yes, choice = score_yes(*given)
                found = [
                    Reply(str(CLOSED[c]), float(p)) for p, c in zip(p_yes, choice, strict=True)
                ]
            else:
                found = [Reply(text) for text in generate_answers(*given)]
            for k, reply in zip(at, found, strict=True):
                replies[k] = reply
        return replies

    def _encoded(self, ecgs: Sequence[Sequence[np.ndarray]]) -> tuple[_Tokens, list[list[str]]]:
        signals: dict[str, np.ndarray] = {}
        names = []
        for own in ecgs:
            keys = [hashlib.sha256(np.ascontiguousarray(s).tobytes()).hexdigest() for s in own]
            signals |= dict(zip(keys, own, strict=True))
            names.append(keys)
        tokens, _ = encode(np.stack(list(signals.values())), self.model.encoder)
        return _Tokens(dict(zip(signals, tokens, strict=True))), names


class _Tokens:
    """Encoder output by the name of the ECG, in the place of `EcgTokens`."""

    def __init__(self, by_name: dict[str, Tensor]):
        self._by_name = by_name

    def get(self, ecg_ids: Sequence[str]) -> Tensor:
        return torch.stack([self._by_name[ecg] for ecg in ecg_ids])

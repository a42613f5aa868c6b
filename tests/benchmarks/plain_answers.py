"""The plain way to ask: one question at a time, 32 tokens each; nine passes for nine labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ecg_lib.ecg_llm.answering import first_token_scores, score_yes_plain
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.encoders.token_cache import TokenSource

NEW_TOKENS = 32


@torch.no_grad()
def ask_one(
    model: EcgLlm, processor: EcgLlmProcessor, question: str, ecgs: Sequence[str], tokens
) -> tuple[str, Tensor]:
    """Generate the answer to one question; also return the logits (V,) of its first token."""
    prompt = torch.tensor([processor.prompt_ids(question, len(ecgs))])
    said = model.generate(
        prompt,
        torch.ones_like(prompt),
        tokens.get(list(ecgs)),
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        pad_token_id=processor.pad_id,
        eos_token_id=processor.tokenizer.eos_token_id,
        return_dict_in_generate=True,
        output_logits=True,
    )
    return processor.said(said.sequences)[0], said.logits[0][0]


def ask_one_by_one(
    model: EcgLlm, processor: EcgLlmProcessor, rows: pd.DataFrame, tokens: TokenSource
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Ask each row alone; return the texts, P(yes), and the closed answer (0 yes, 1 no, 2 unsure).

    The last two are read from the first token's logits as the library reads them.
    """
    said = [
        ask_one(model, processor, question, ecgs, tokens)
        for question, ecgs in zip(rows["question"], rows["ecg_id"], strict=True)
    ]
    p_yes, choice = first_token_scores(torch.stack([logits for _, logits in said]), processor)
    return [text for text, _ in said], p_yes.numpy(), choice.numpy()


def nine_passes(
    model: EcgLlm,
    processor: EcgLlmProcessor,
    questions: Sequence[str],
    ecg_ids: Sequence[str],
    tokens: TokenSource,
) -> np.ndarray:
    """Ask each question about all ECGs in a pass of its own; return P(yes), (ECGs, questions)."""
    ecgs = [[ecg] for ecg in ecg_ids]
    passes = [
        score_yes_plain(model, processor, [question] * len(ecgs), ecgs, tokens)[0]
        for question in questions
    ]
    return np.stack(passes, axis=1)

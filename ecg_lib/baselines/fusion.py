"""Training of the multi-label classifier of Table 3 on the rows of stage 2, and its answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase, set_seed

from ecg_lib.baselines.fusion_classifier import FusionClassifier, FusionConfig
from ecg_lib.encoders.token_cache import EcgTokens
from ecg_lib.questions.closed_vocabulary import admitted_matrix, answer_matrix, decode
from ecg_lib.questions.vocabulary import all_answers
from ecg_lib.training.fit import Schedule, fit

if TYPE_CHECKING:
    from ecg_lib.config import Fusion


class FusionCollator:
    """A collator that turns rows of `prepare` into the arguments of `FusionClassifier.forward`."""

    def __init__(self, tokens: EcgTokens):
        self.tokens = tokens

    def __call__(self, rows: list[dict]) -> dict[str, Tensor]:
        """Pad the questions and look up the ECG tokens of a batch."""
        longest = max(len(row["input_ids"]) for row in rows)
        lengths = torch.tensor([len(row["input_ids"]) for row in rows])
        ids = [row["input_ids"] + [0] * (longest - len(row["input_ids"])) for row in rows]
        batch = {
            "input_ids": torch.tensor(ids),  # (B, L)
            "attention_mask": torch.arange(longest) < lengths[:, None],
            "ecg_tokens": self.tokens.get([e for row in rows for e in row["ecg_id"]]),
            "ecgs": torch.tensor([len(row["ecg_id"]) for row in rows]),
        }
        if "labels" in rows[0]:
            for name in ("admitted", "labels"):
                batch[name] = torch.from_numpy(np.stack([row[name] for row in rows]))
        return batch


def prepare(
    rows: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, answers: bool = True
) -> list[dict]:
    """Turn question rows into token ids and ECG ids and, if `answers`, the classes to learn."""
    ids = [tokenizer(q, add_special_tokens=False)["input_ids"] for q in rows["question"]]
    prepared = [
        {"input_ids": i, "ecg_id": list(e)} for i, e in zip(ids, rows["ecg_id"], strict=True)
    ]
    if answers:
        for row, admitted, labels in zip(
            prepared, admitted_matrix(rows), answer_matrix(rows), strict=True
        ):
            row.update(admitted=admitted | labels, labels=labels)
    return prepared


def train_fusion(
    rows: pd.DataFrame,
    tokens: EcgTokens,
    tokenizer: PreTrainedTokenizerBase,
    settings: Fusion,
    folder: Path,
    seed: int,
) -> None:
    """Train on question rows; save the model and `curve.csv` in `folder`.

    The tokenizer is the LLM's, but the word vectors start from random numbers. All that the
    classifier knows about words it learns from these rows.

    Parameters
    ----------
    rows : DataFrame
        Question rows.
    tokens : EcgTokens
        Encoder output of all ECGs in `rows`.
    tokenizer : PreTrainedTokenizerBase
    settings : Fusion
        Sizes of the model and of its training.
    folder : Path
    seed : int
    """
    set_seed(seed)
    config = FusionConfig(
        len(tokenizer),
        len(all_answers()),
        tokens.tokens.shape[-1],
        settings.width,
        settings.depth,
        settings.heads,
        settings.dropout,
    )
    model = FusionClassifier(config)
    schedule = Schedule.of(
        settings,
        batch_size=min(settings.batch_size, len(rows)),
        order="by length",
        clip_norm=1.0,
    )
    data, collate = prepare(rows, tokenizer), FusionCollator(tokens)
    history = fit(model, data, collate, folder, schedule, seed=seed)
    model.save_pretrained(str(folder))
    history.to_csv(folder / "curve.csv", index=False)


@torch.no_grad()
def fusion_probabilities(
    model: FusionClassifier,
    tokenizer: PreTrainedTokenizerBase,
    rows: pd.DataFrame,
    tokens: EcgTokens,
    batch_size: int = 128,
) -> NDArray:
    """Return the probability of each of the 104 closed answers, admitted or not, (n, 104)."""
    model.eval()
    prepared, collate = prepare(rows, tokenizer, answers=False), FusionCollator(tokens)
    order = np.argsort([len(row["input_ids"]) for row in prepared], kind="stable")
    result = np.zeros((len(rows), model.config.answers), dtype=np.float32)
    for start in range(0, len(order), batch_size):
        picked = order[start : start + batch_size]
        batch = collate([prepared[i] for i in picked])
        batch = {name: value.to(model.device) for name, value in batch.items()}
        result[picked] = model(**batch)["logits"].sigmoid().float().cpu().numpy()
    return result


def fusion_answers(
    model: FusionClassifier,
    tokenizer: PreTrainedTokenizerBase,
    rows: pd.DataFrame,
    tokens: EcgTokens,
    batch_size: int = 128,
) -> pd.Series:
    """Return the classifier's answers as text, with the index of `rows`."""
    return decode(fusion_probabilities(model, tokenizer, rows, tokens, batch_size), rows)

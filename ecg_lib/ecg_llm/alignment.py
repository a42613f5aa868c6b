"""Alignment of the projector: an ECG's slots learn to carry the names of its findings.

Alignment comes before any question and is not in the paper. Only the projector is trained. A name's
score says how close the nearest slots of the ECG come to the language model's own embedding of that
name, so the language model is never run. The slots of an ECG depend on that ECG alone. In a prompt
about two ECGs, each ECG's slots carry its own findings, and comparisons need nothing extra.

The nine names of Table 4, and all names that contain one of them (`zero_shot_codes`), are left out
by default: a score for a name on which the slots were trained is not zero-shot.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase, set_seed

from ecg_lib.errors import DataError
from ecg_lib.knowledge.findings import FINDINGS, is_certain, name_of
from ecg_lib.knowledge.zero_shot_labels import zero_shot_codes
from ecg_lib.training.fit import Schedule, fit

if TYPE_CHECKING:
    from ecg_lib.config import Alignment
    from ecg_lib.ecg_llm.projector import Projector
    from ecg_lib.encoders.token_cache import EcgTokens

FEWEST = 10  # a name is learned if at least so many ECGs have the finding and so many lack it
SCALE = 10.0  # initial scale of the cosines; learned
_MEASURED = 256  # ECGs on which the length of the slots is measured
_BEFORE = "and"  # a word before a name, as tokenizers may spell the start of a text differently


def stated(labels: Sequence[Mapping[str, float]], codes: Sequence[str]) -> pd.DataFrame:
    """Tabulate the stated findings: 1 if stated, 0 if not, NaN if stated but not certain.

    Parameters
    ----------
    labels : sequence of mapping
        For each ECG, code -> likelihood, as in `EcgStore.records`.
    codes : sequence of str

    Returns
    -------
    DataFrame
        One row per ECG, one column per code.
    """
    table = [
        [(1.0 if is_certain(own[code]) else math.nan) if code in own else 0.0 for code in codes]
        for own in labels
    ]
    return pd.DataFrame(table, columns=list(codes), dtype="float32")


def target_codes(labels: Sequence[Mapping[str, float]], zero_shot_names: bool) -> list[str]:
    """Return the codes whose names the slots learn.

    Parameters
    ----------
    labels : sequence of mapping
        As for `stated`.
    zero_shot_names : bool
        Whether the names of Table 4 are learned too.

    Raises
    ------
    DataError
        No finding is stated for `FEWEST` ECGs and absent from as many.
    """
    apart = set() if zero_shot_names else zero_shot_codes()
    codes = [code for code in FINDINGS.index if code not in apart]
    table = stated(labels, codes)
    often = (table.eq(1).sum() >= FEWEST) & (table.eq(0).sum() >= FEWEST)
    if not often.any():
        raise DataError(
            f"alignment: no finding is stated for at least {FEWEST} of {len(table)} ECGs and "
            f"absent from at least {FEWEST}; give more ECGs or set alignment.epochs=0"
        )
    return [code for code in codes if often[code]]


def name_pieces(name: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the token ids with which a tokenizer spells a name inside a text."""
    before, both = (
        tokenizer(text, add_special_tokens=False)["input_ids"]
        for text in (_BEFORE, f"{_BEFORE} {name}")
    )
    same = 0
    while same < len(before) and both[same] == before[same]:
        same += 1
    return both[same:]


def embed_names(
    names: Sequence[str], tokenizer: PreTrainedTokenizerBase, table: nn.Embedding
) -> Tensor:
    """Embed names as the mean of their token embeddings: (W, H) float32, on the CPU.

    The mean keeps a name in one slot. If the scores of a name's tokens were summed instead, tokens
    that names share ("left", "block") could lie in different slots and be read as another name.
    """
    pieces = [name_pieces(name, tokenizer) for name in names]
    rows = [table(torch.tensor(ids, device=table.weight.device)).mean(0) for ids in pieces]
    return torch.stack(rows).detach().float().cpu()


def slot_scores(slots: Tensor, words: Tensor, scale: Tensor | float) -> Tensor:
    """Score names by the log of the mean over slots of exp(scale * cosine).

    With a large scale the nearest slot decides; with a small one all slots count.

    Parameters
    ----------
    slots : (B, S, H)
    words : (W, H)
        Embeddings of the names.
    scale : scalar

    Returns
    -------
    (B, W)
    """
    cosine = F.normalize(slots, dim=-1) @ F.normalize(words, dim=-1).T  # (B, S, W)
    return (scale * cosine).logsumexp(1) - math.log(slots.shape[1])


class NamedSlots(nn.Module):
    """A projector trained with class-balanced binary cross-entropy on `slot_scores`.

    Parameters
    ----------
    projector : Projector
    words : (W, H)
        Embeddings of the names.
    targets : (N, W)
        1, 0, or NaN for N training ECGs, as `stated` returns them.
    """

    words: Tensor

    def __init__(self, projector: Projector, words: Tensor, targets: Tensor):
        super().__init__()
        self.projector = projector
        self.log_scale = nn.Parameter(torch.tensor(math.log(SCALE)))
        self.bias = nn.Parameter(torch.zeros(len(words)))
        self.register_buffer("words", words, persistent=False)  # (W, H), never trained
        known, share = ~targets.isnan(), targets.nanmean(0)  # (W,)
        weights = torch.where(targets == 1, 0.5 / share, 0.5 / (1 - share))
        self.targets, self.weights = targets.nan_to_num(0.0), weights * known  # (N, W)

    def forward(self, ecg_tokens: Tensor, rows: Tensor) -> dict[str, Tensor]:
        """Return the loss of ECGs with tokens (B, n, D) and targets in `rows` (B,)."""
        slots = self.projector(ecg_tokens)  # (B, S, H)
        logits = slot_scores(slots, self.words, self.log_scale.exp()) + self.bias  # (B, W)
        own = rows.cpu()
        targets, weights = (x[own].to(logits.device) for x in (self.targets, self.weights))
        return {"loss": F.binary_cross_entropy_with_logits(logits, targets, weights)}


@torch.no_grad()
def match_norm(projector: Projector, slots: Tensor, words: Tensor) -> None:
    """Scale the last layer so that slots have the mean norm of the names.

    The learned cosines stay the same, and the language model gets vectors of the length it knows.

    Parameters
    ----------
    projector : Projector
        Changed in place.
    slots : (N, S, H)
        Some of its outputs.
    words : (W, H)
        Embeddings of the names.
    """
    last = [module for module in projector.modules() if isinstance(module, nn.Linear)][-1]
    factor = words.norm(dim=-1).mean() / slots.norm(dim=-1).mean()
    last.weight.mul_(factor)
    last.bias.mul_(factor)


def align(
    projector: Projector,
    tokens: EcgTokens,
    records: pd.DataFrame,
    table: nn.Embedding,
    tokenizer: PreTrainedTokenizerBase,
    settings: Alignment,
    folder: Path,
    seed: int,
) -> float:
    """Train a projector in place; write `curve.csv` and `names.csv`; return the learned scale.

    Parameters
    ----------
    projector : Projector
    tokens : EcgTokens
        Encoder output of the ECGs in `records`.
    records : DataFrame
        `ecg_id` and `labels` of the training ECGs.
    table : nn.Embedding
        The language model's input embeddings, which are not changed.
    tokenizer : PreTrainedTokenizerBase
        That of the language model.
    settings : Alignment
    folder : Path
    seed : int

    Raises
    ------
    DataError
        No finding is stated for `FEWEST` ECGs and absent from as many.
    """
    set_seed(seed)
    labels, ids = records["labels"].tolist(), records["ecg_id"].tolist()
    codes = target_codes(labels, settings.zero_shot_names)
    names = [name_of(code) for code in codes]
    targets = stated(labels, codes)
    words = embed_names(names, tokenizer, table)
    module = NamedSlots(projector, words, torch.from_numpy(targets.to_numpy()))

    def collate(batch: list[dict]) -> dict[str, Tensor]:
        own = [row["row"] for row in batch]
        return {"ecg_tokens": tokens.get([ids[i] for i in own]), "rows": torch.tensor(own)}

    rows = [{"row": i} for i in range(len(ids))]
    history = fit(
        module,
        rows,
        collate,
        folder,
        Schedule.of(settings, batch_size=min(settings.batch_size, len(ids))),
        seed=seed,
    )
    some = [row["row"] for row in random.Random(seed).sample(rows, min(_MEASURED, len(rows)))]
    with torch.no_grad():
        slots = projector(tokens.get([ids[i] for i in some]).to(words.device))
    match_norm(projector, slots, words)
    history.to_csv(folder / "curve.csv", index=False)
    pieces = [len(name_pieces(name, tokenizer)) for name in names]
    shown = targets.eq(1).sum().to_numpy()
    named = pd.DataFrame({"code": codes, "name": names, "pieces": pieces, "ecgs": shown})
    named.to_csv(folder / "names.csv", index=False)
    return float(module.log_scale.detach().exp())

"""Reading practice of a pretrained LLM: LoRA on questions about written reports, then merged.

As it comes, a small instruction model answers yes/no questions about a report no better than
chance. It practises in the prompt in which it will be asked about ECGs. The adapters are merged
into its weights before they are frozen for good, so that the arms start from an LLM that reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel, set_seed

from ecg_lib.ecg_llm.frozen_llm import embeddings_of, load_llm
from ecg_lib.ecg_llm.packing import additive
from ecg_lib.ecg_llm.processor import IGNORE
from ecg_lib.errors import DataError
from ecg_lib.named_llm.bfloat16 import computes_bfloat16
from ecg_lib.named_llm.merging import merge, save_adapter
from ecg_lib.tiny_llm.blurred_reports import Blur, mixed_embeddings
from ecg_lib.tiny_llm.general_text import load_general_text
from ecg_lib.tiny_llm.packed_rows import collate
from ecg_lib.tiny_llm.row_order import shuffled_by_length
from ecg_lib.tiny_llm.synthetic_reports import names_in_reports, single_tokens
from ecg_lib.tiny_llm.training_rows import CachedTokenizer, disturber, report_rows
from ecg_lib.training.fit import Schedule, fit

if TYPE_CHECKING:
    from ecg_lib.config import Llm
    from ecg_lib.questions.written_reports import Report
    from ecg_lib.tiny_llm.curriculum import Questions

ADAPTER = "reading_adapter"  # folder of the adapter, inside that of the model
CURVE = "curve.csv"
RANK, ALPHA = 8, 16
ADAPTED = ("q_proj", "k_proj", "v_proj", "o_proj")
_PARTS = 8  # of the practice; a checkpoint follows each


def practise(
    name: str, reports: Report, questions: Questions, settings: Llm, folder: Path, seed: int
) -> None:
    """Practise reading; save the merged model, its adapter and `curve.csv` in `folder`.

    Parameters
    ----------
    name : str
        The language model, by hub id or folder.
    reports : callable
        Returns a written report of an ECG, with its statements in a new order at each call.
    questions : callable
        Maps a pass number to question rows about training ECGs, never in a held-out wording.
    settings : Llm
        `rows`, `pack`, `batch_size`, `learning_rate`, `disturb`, `blurred`, `dtype`.
    folder : Path
        An existing folder; checkpoints are written there as well.
    seed : int

    Raises
    ------
    DataError
        The language model cannot be loaded, or has no q, k, v and o projections by these names.
    """
    set_seed(seed)
    model, tokenizer = load_llm(name, practice_dtype(settings.dtype))
    adapted = with_adapters(model)
    processor = CachedTokenizer(tokenizer, slots=1)
    drawn = practice_questions(questions, settings.rows, seed)
    rows = practice_rows(drawn, reports, processor, settings, seed)
    history = fit(
        AnswerLoss(adapted.get_base_model(), processor.slot_id),
        InParts(rows, settings.batch_size),
        partial(collate, processor=processor),
        folder,
        Schedule(
            epochs=parts_of(rows, settings.batch_size),
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            weight_decay=0.0,
            warmup=0.05,
            clip_norm=1.0,
            order="as given",
        ),
        seed=seed,
    )
    history.assign(course="reading").to_csv(folder / CURVE, index=False)
    save_adapter(adapted, folder / ADAPTER, settings.name_or_path or name)
    merge(name, folder / ADAPTER, settings.dtype, folder)


def practice_dtype(dtype: str) -> str:
    """Return the dtype of the frozen weights in practice: bfloat16 only where it is fast."""
    if dtype == "bfloat16" and not computes_bfloat16():
        print(
            "this CPU has no bfloat16 instructions: reading is practised in float32. The arms "
            "would be many times slower in bfloat16; set llm.dtype=float32 for them"
        )
        return "float32"
    return dtype


def with_adapters(model: PreTrainedModel) -> PeftModel:
    """Add untrained LoRA adapters, in float32, to a frozen language model."""
    lora = LoraConfig(
        r=RANK,
        lora_alpha=ALPHA,
        lora_dropout=0.0,
        bias="none",
        target_modules=list(ADAPTED),
        task_type="CAUSAL_LM",
    )
    try:
        adapted = get_peft_model(model, lora)
    except ValueError as error:
        raise DataError(
            f"llm.practice: the language model has no layers {', '.join(ADAPTED)}; use another, "
            "or set llm.practice to false"
        ) from error
    assert isinstance(adapted, PeftModel)  # not a mixed model
    return adapted


# -- rows ------------------------------------------------------------------------------------


def practice_questions(questions: Questions, n: int, seed: int) -> list[pd.DataFrame]:
    """Draw `n` question rows: all questions of an ECG or a pair in a pass, or none.

    Questions about the same report share a sequence, so that more of them fit into the same time.
    """
    passes: list[pd.DataFrame] = []
    while (missing := n - sum(map(len, passes))) > 0:
        rows = questions(len(passes))
        about = rows["ecg_id"].map(tuple)
        order = pd.Series(about.unique()).sample(frac=1, random_state=seed)
        place = about.map(pd.Series(range(len(order)), index=order))
        passes.append(rows.iloc[np.argsort(place, kind="stable")[:missing]])
    return passes


def practice_rows(
    passes: Sequence[pd.DataFrame],
    reports: Report,
    processor: CachedTokenizer,
    settings: Llm,
    seed: int,
) -> list[dict]:
    """Return packed training rows in the order of the practice."""
    disturb = blur = None
    if settings.disturb:
        disturb = disturber(load_general_text(), single_tokens(), settings.disturb)
    if settings.blurred:
        strays = [processor.text_ids(name) for name in names_in_reports()]
        blur = Blur(settings.blurred, strays, seed)
    rows = [
        row
        for k, drawn in enumerate(passes)
        for row in report_rows(drawn, reports, processor, seed + k, settings.pack, disturb, blur)
    ]
    return shuffled_by_length(rows, settings.batch_size, seed)


def parts_of(rows: Sequence[dict], batch_size: int) -> int:
    """Return into how many equal parts a practice is divided; at least one batch is in each."""
    return max(1, min(_PARTS, len(rows) // batch_size))


class InParts(Sequence[dict]):
    """Rows in equal parts, one for each epoch of the Trainer, which saves a checkpoint after it.

    An epoch thus brings new rows, and an interrupted practice loses one part at most. Rows that do
    not fill a batch of every part are left out.
    """

    def __init__(self, rows: Sequence[dict], batch_size: int):
        parts = parts_of(rows, batch_size)
        self.size = max(1, len(rows) // batch_size // parts) * batch_size
        self.size = min(self.size, len(rows))
        self.rows, self.part = rows, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the part; the data loader calls this at the start of each epoch."""
        self.part = epoch

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, i: Any) -> Any:
        return self.rows[self.part * self.size + i]


# -- loss ------------------------------------------------------------------------------------


class AnswerLoss(nn.Module):
    """The loss of a causal LM on the answers of packed rows, in float32 whatever its weights.

    Parameters
    ----------
    lm : nn.Module
        The causal language model, with adapters in its layers.
    slot_id : int
        Token id in `input_ids` that marks a slot of a blurred report.
    """

    def __init__(self, lm: Any, slot_id: int):
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
        """Return the loss; the output layer is applied where an answer is predicted only.

        Parameters
        ----------
        input_ids, position_ids, labels : (B, L)
        attention_mask : (B, 1, L, L) bool
        soft_row, soft_place, soft_token, soft_weight : (N,)
            The contents of slots, from `blurred_reports.batch_of`.
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
        return {"loss": F.cross_entropy(logits.float(), labels[:, 1:][wanted])}

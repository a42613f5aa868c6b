"""Pretraining of the tiny LLM, in the role of LLaMA-2: it can read before it meets an ECG.

It learns short look-ups first, then reading comprehension; after that it is frozen.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase, set_seed

from ecg_lib.ecg_llm.frozen_llm import load_llm
from ecg_lib.tiny_llm.courses import CURVE, Courses
from ecg_lib.tiny_llm.curriculum import draw_texts, rows_of
from ecg_lib.tiny_llm.look_up_course import learn_look_ups
from ecg_lib.tiny_llm.lookup_tasks import lookup_tasks
from ecg_lib.tiny_llm.row_order import shuffled_by_length
from ecg_lib.tiny_llm.training_rows import CachedTokenizer, exercise_rows

if TYPE_CHECKING:
    from ecg_lib.config import Llm
    from ecg_lib.questions.written_reports import Report
    from ecg_lib.tiny_llm.curriculum import Questions

_MORE = 2  # further courses at most, each half as long
_FRESH = 16  # one more look-up comes with the reading per so many of the first course


def pretrain(
    reports: Report,
    questions: Questions,
    settings: Llm,
    folder: Path,
    seed: int,
    reads: Callable[[LlamaForCausalLM, PreTrainedTokenizerBase], float] | None = None,
    look_ups: Path | None = None,
) -> Path:
    """Train a tokenizer and a tiny Llama that reads; save both and `curve.csv` in `folder`.

    Where the model does not read well enough, more reading follows, in other texts.

    Parameters
    ----------
    reports : gives a written report of an ECG, worded anew at each call
    questions : number of a pass -> question rows about training ECGs, never in a held-out wording.
        Every pass has others: rows that come again are learnt by heart, comparisons first of all
    settings : sizes of model and courses, learning rates
    folder : exists, and is the place for checkpoints as well
    reads : the share of development questions read right, compared with `settings.reading_gate`;
        None: one course
    look_ups : what `learn_look_ups` has saved with the same arguments; None: it is trained first
    """
    if look_ups is None:
        look_ups = folder / "look_ups"
        look_ups.mkdir(exist_ok=True)
        learn_look_ups(reports, questions, settings, look_ups, seed)
    set_seed(seed)
    model, tokenizer = load_llm(look_ups)
    model.requires_grad_(True)
    courses = Courses(model, CachedTokenizer(tokenizer, slots=1), settings, seed, folder)
    courses.curves.append(pd.read_csv(look_ups / CURVE))
    fresh = lookup_tasks(settings.look_ups // _FRESH, seed + 100)  # lest the rare be forgotten
    for k in range(1 + _MORE):
        if k and (reads is None or reads(model, tokenizer) >= settings.reading_gate):
            break
        texts = draw_texts(questions, settings, seed, course=k)
        rows = rows_of(texts, reports, courses.processor, settings, seed)
        rows += exercise_rows(fresh, courses.processor)
        rows = shuffled_by_length(rows, settings.batch_size, seed + k)
        courses.train(f"reading_{k + 1}", rows, settings.learning_rate)
    return courses.save()

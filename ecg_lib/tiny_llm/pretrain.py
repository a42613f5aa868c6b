"""Pretraining of the tiny LLM, so that it can read, as LLaMA-2 can, before it sees an ECG.

It learns short look-ups first, then reading comprehension. After that it is frozen.
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

_MORE = 2  # maximum number of further courses, each half as long
_FRESH = 16  # the reading courses add one new look-up per 16 of the first course


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

    If the model does not read well enough, up to two further reading courses follow on new texts.

    Parameters
    ----------
    reports : callable
        Returns a written report of an ECG, with its statements in a new order at each call.
    questions : callable
        Maps a pass number to question rows about training ECGs, never in a held-out wording. Every
        pass has different rows, because repeated rows are memorised, comparisons first.
    settings : Llm
        Sizes of the model and the courses, and the learning rates.
    folder : Path
        An existing folder; checkpoints are written there as well.
    seed : int
        Seed of the training and of all texts.
    reads : callable, optional
        Returns the share of development questions that the model reads correctly, to compare with
        `settings.reading_gate`. Without it there is one reading course.
    look_ups : Path, optional
        Folder that `learn_look_ups` saved with the same arguments. Without it, that course is
        trained first.
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
    fresh = lookup_tasks(settings.look_ups // _FRESH, seed + 100)  # else rare names are forgotten
    for k in range(1 + _MORE):
        if k and (reads is None or reads(model, tokenizer) >= settings.reading_gate):
            break
        texts = draw_texts(questions, settings, seed, course=k)
        rows = rows_of(texts, reports, courses.processor, settings, seed)
        rows += exercise_rows(fresh, courses.processor)
        rows = shuffled_by_length(rows, settings.batch_size, seed + k)
        courses.train(f"reading_{k + 1}", rows, settings.learning_rate)
    return courses.save()

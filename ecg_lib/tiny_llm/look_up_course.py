"""First course of the tiny LLM: train its tokenizer, then look up names in short reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from transformers import PreTrainedTokenizerFast, set_seed

from ecg_lib.ecg_llm.processor import ONE_ECG, QUESTION, TWO_ECGS
from ecg_lib.questions.vocabulary import answer_text
from ecg_lib.tiny_llm.courses import Courses
from ecg_lib.tiny_llm.curriculum import TrainingTexts, draw_texts
from ecg_lib.tiny_llm.general_text import load_general_text
from ecg_lib.tiny_llm.llama import tiny_llama, train_byte_pairs
from ecg_lib.tiny_llm.lookup_tasks import FEW, SEVERAL, lookup_tasks
from ecg_lib.tiny_llm.row_order import in_order_by_length
from ecg_lib.tiny_llm.synthetic_reports import Exercise, single_tokens
from ecg_lib.tiny_llm.training_rows import CachedTokenizer, exercise_rows

if TYPE_CHECKING:
    from ecg_lib.config import Llm
    from ecg_lib.questions.written_reports import Report
    from ecg_lib.tiny_llm.curriculum import Questions

_LEARNED = 0.3  # loss per token; a model that can barely compare reports ends at 0.4 to 0.6
_MORE = 3  # maximum number of further courses, each half as long


def learn_look_ups(
    reports: Report, questions: Questions, settings: Llm, folder: Path, seed: int
) -> Path:
    """Train the tokenizer, and a tiny Llama on short look-ups; save both in `folder`.

    A model that cannot find a name in a report learns nothing from questions in full sentences, so
    most of the reading courses would be wasted. The learning rate decays, and restarts with each
    harder kind of task. How many steps the look-ups take varies from seed to seed, so up to three
    further courses follow until the loss is low enough.

    The parameters are those of :func:`ecg_lib.tiny_llm.pretrain.pretrain`; only the tokenizer reads
    the reports and questions.
    """
    set_seed(seed)
    first = lookup_tasks(settings.look_ups, seed)
    tokenizer = _train_tokenizer(
        first, draw_texts(questions, settings, seed), reports, settings.vocabulary, seed
    )
    model = tiny_llama(tokenizer, settings.width, settings.depth, settings.heads)
    courses = Courses(model, CachedTokenizer(tokenizer, slots=1), settings, seed, folder)
    cuts = [int(share * len(first)) for share in (0, FEW, SEVERAL, 1)]
    planned = [first[start:end] for start, end in zip(cuts, cuts[1:], strict=False)]
    loss = np.inf
    for k in range(len(planned) + _MORE):
        if k < len(planned):
            tasks = planned[k]
        elif loss < _LEARNED:
            break
        else:
            tasks = lookup_tasks(settings.look_ups // 2, seed + k, start=FEW)
        rows = exercise_rows(tasks, courses.processor)
        rows = in_order_by_length(rows, settings.batch_size, seed + k)
        loss = courses.train(f"look_ups_{k + 1}", rows, settings.look_up_rate)
    return courses.save()


def _train_tokenizer(
    first: Sequence[Exercise], texts: TrainingTexts, reports: Report, vocabulary: int, seed: int
) -> PreTrainedTokenizerFast:
    """Train a tokenizer on a sample of everything that the model will read."""
    rng, rows = np.random.default_rng(seed), texts.passes[0]
    frames = [QUESTION.format(question=""), ONE_ECG.format(""), TWO_ECGS.format("", "")]
    exercises = [*first[-1000:], *texts.pairs[:1000]]
    read = [
        *load_general_text(),
        *map(" ".join, texts.dialogue[:1000]),
        *(frames * 1000),  # the prompt is in every row: spelt out, it would fill a third of it
        *(" ".join([p.text, *map(" ".join, p.turns)]) for p in texts.passages[:3000]),
        *(reports(ecgs[0], rng) for ecgs in rows["ecg_id"].head(5000)),
        *(" ".join(turn) for exercise in exercises for turn in exercise.turns),
        *rows["question"].unique(),
        *map(answer_text, rows["answer"]),
    ]
    return train_byte_pairs(read, vocabulary, single_tokens())

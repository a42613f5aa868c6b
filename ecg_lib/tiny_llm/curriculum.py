"""The texts of a reading course, and the training rows made from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.tiny_llm.blurred_reports import Blur
from ecg_lib.tiny_llm.dialogue_turns import age_turns, dialogue_turns
from ecg_lib.tiny_llm.general_text import load_general_text
from ecg_lib.tiny_llm.synthetic_reports import (
    Exercise,
    names_in_reports,
    single_tokens,
    synthetic_pairs,
)
from ecg_lib.tiny_llm.toy_passages import Passage, toy_passages
from ecg_lib.tiny_llm.training_rows import (
    dialogue_rows,
    disturber,
    exercise_rows,
    passage_rows,
    report_rows,
    sentence_rows,
)

if TYPE_CHECKING:
    from ecg_lib.config import Llm
    from ecg_lib.questions.written_reports import Report

Questions = Callable[[int], pd.DataFrame]  # pass number -> question rows


class TrainingTexts(NamedTuple):
    """The texts of one reading course."""

    passes: list[pd.DataFrame]  # question rows about the cohort's reports
    pairs: list[Exercise]
    passages: list[Passage]
    dialogue: list[tuple[str, str]]
    ages: list[tuple[str, str]]


def draw_texts(questions: Questions, settings: Llm, seed: int, course: int = 0) -> TrainingTexts:
    """Draw the texts of a course; later courses are half as long and use different texts."""
    seed, share = seed + 100_000 * course, 2 if course else 1
    return TrainingTexts(
        _passes(questions, 100 * course, settings.rows // share, seed),
        synthetic_pairs(settings.made_up // share, seed),
        toy_passages(settings.passages // share, seed),
        dialogue_turns(settings.talks // share, seed),
        age_turns(4 * settings.talks // share, seed),
    )


def _passes(questions: Questions, first: int, n: int, seed: int) -> list[pd.DataFrame]:
    """Draw passes until they hold `n` rows; the last pass is sampled to fit."""
    passes: list[pd.DataFrame] = []
    while (missing := n - sum(map(len, passes))) > 0:
        rows = questions(first + len(passes))
        passes.append(rows.sample(min(len(rows), missing), random_state=seed))
    return passes


def rows_of(
    texts: TrainingTexts, reports: Report, processor: EcgLlmProcessor, settings: Llm, seed: int
) -> list[dict]:
    """Return the training rows of a reading course, grouped by kind of text."""
    general = load_general_text()
    disturb = disturber(general, single_tokens(), settings.disturb)
    strays = [processor.text_ids(name) for name in names_in_reports()]
    blur = Blur(settings.blurred, strays, seed)
    rows = [
        row
        for k, part in enumerate(texts.passes)  # each pass reorders the statements of the reports
        for row in report_rows(part, reports, processor, seed + k, settings.pack, disturb, blur)
    ]
    rows += exercise_rows(texts.pairs, processor, blur) + passage_rows(texts.passages, processor)
    rows += sentence_rows(general, processor) * settings.general
    return rows + dialogue_rows(texts.dialogue, processor) + dialogue_rows(texts.ages, processor, 4)

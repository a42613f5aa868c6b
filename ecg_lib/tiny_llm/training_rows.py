"""Training rows of the tiny LLM: texts, questions and answers as token ids.

Each turn has the paper's prompt with a report in the place of the ECG embeddings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from transformers import PreTrainedTokenizerBase

from ecg_lib.ecg_llm.packing import packed_row
from ecg_lib.ecg_llm.processor import QUESTION, EcgLlmProcessor
from ecg_lib.questions.vocabulary import JOINER, canonical_order
from ecg_lib.tiny_llm.blurred_reports import Blur, Mixture
from ecg_lib.tiny_llm.packed_rows import SOFT
from ecg_lib.tiny_llm.synthetic_reports import Exercise
from ecg_lib.tiny_llm.toy_passages import Passage

if TYPE_CHECKING:
    from ecg_lib.questions.written_reports import Report

_ASKED_AFTER = QUESTION.format(question="").strip()


class CachedTokenizer(EcgLlmProcessor):
    """A processor that tokenises each text once: most questions come up again and again."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, slots: int):
        super().__init__(tokenizer, slots)
        self.text_ids = cache(super().text_ids)
        self.continue_ids = cache(super().continue_ids)


def report_rows(
    rows: pd.DataFrame,
    report: Report,
    processor: EcgLlmProcessor,
    seed: int,
    pack: int = 6,
    disturb: Callable[[str, np.random.Generator], str] | None = None,
    blur: Blur | None = None,
) -> list[dict]:
    """Question rows -> training rows: a written report in the ECG's place, up to `pack` questions.

    Questions about the same ECG share one report and the paper's prompt, so that a token read
    teaches more answers; each is answered as if asked alone (:mod:`ecg_lib.ecg_llm.packing`).
    Which questions stand together is drawn anew for each seed. Several answers stand in the order
    of the reports, which is easier to learn than ECG-QA's and no less true.
    """
    rng = np.random.default_rng(seed)
    shuffled = rows.iloc[rng.permutation(len(rows))]
    by_ecgs: dict[tuple[str, ...], list[tuple[str, Sequence[str]]]] = {}
    for question, answer, ecgs in zip(
        shuffled["question"], shuffled["answer"], shuffled["ecg_id"], strict=True
    ):
        if disturb and len(ecgs) == 1:  # in a comparison every word counts
            question = disturb(question, rng)
        by_ecgs.setdefault(tuple(ecgs), []).append((question, answer))
    examples = []
    for ecgs, asked in by_ecgs.items():
        for start in range(0, len(asked), pack):
            reports = [report(e, rng) for e in ecgs]
            said = [
                (question, JOINER.join(_as_reported(answer, reports)))
                for question, answer in asked[start : start + pack]
            ]
            examples.append(_asked(reports, said, processor, blur))
    return examples


def _as_reported(answers: Sequence[str], reports: Sequence[str]) -> list[str]:
    """Answers in the order in which the reports state them; only whole statements count."""
    if len(answers) < 2:
        return list(answers)
    text = ". ".join(reports)

    def place(answer: str) -> int:
        said = re.search(rf"(?:^|\. )(?:possible )?{re.escape(answer)}(?:\.|$| in lead)", text)
        return said.start() if said else len(text)

    return sorted(canonical_order(answers), key=place)


def disturber(
    general: Sequence[str], phrases: Sequence[str], share: float
) -> Callable[[str, np.random.Generator], str]:
    """Return a function that disturbs a share of questions, so that exact wordings do not count.

    Words are dropped, replaced by or preceded by words of the general text; terms stay. LLaMA has
    met every way of asking; this stands in for some of that.
    """
    words = sorted({w.strip(".,;:?!()\"'") for line in general for w in line.split()} - {""})
    terms = re.compile("|".join(re.escape(p) for p in sorted(phrases, key=lambda p: (-len(p), p))))

    def disturb(question: str, rng: np.random.Generator) -> str:
        if rng.random() >= share:
            return question
        kept = [words[i] for i in rng.integers(len(words), size=rng.integers(4))]
        held = [m.group().replace(" ", "\0") for m in terms.finditer(question)]
        text = terms.sub("\1", question)
        for word in text.split():
            if "\1" in word:
                kept.append(word.replace("\1", held.pop(0)))
            elif (u := rng.random()) > 0.2:
                kept.append(word)
            elif u < 0.1:
                kept.append(words[rng.integers(len(words))])
        return " ".join(kept).replace("\0", " ")

    return disturb


def passage_rows(passages: Sequence[Passage], processor: EcgLlmProcessor) -> list[dict]:
    """Toy passages -> training rows: the text, its questions, loss on the answers."""
    start = processor.tokenizer.bos_token_id
    return [
        _row(
            [start, *processor.text_ids(f"{passage.text.strip()} {_ASKED_AFTER}")],
            passage.turns,
            processor,
        )
        for passage in passages
    ]


def exercise_rows(
    exercises: Sequence[Exercise], processor: EcgLlmProcessor, blur: Blur | None = None
) -> list[dict]:
    """Synthetic reports and their questions -> training rows."""
    return [_asked(e.reports, e.turns, processor, blur) for e in exercises]


def _asked(
    reports: Sequence[str],
    turns: Sequence[tuple[str, str]],
    processor: EcgLlmProcessor,
    blur: Blur | None,
) -> dict:
    """Questions about reports: written, or in the share of `blur` mixed into slots."""
    if blur is None or not blur.next():
        return _row(processor.prompt_ids("", reports), turns, processor)
    ids, soft, texts = [], Mixture([], [], []), iter(reports)
    for token in processor.prompt_ids("", len(reports)):  # one slot per report
        if token == processor.slot_id:
            said = [processor.text_ids(statement) for statement in next(texts).split(". ")]
            ids += [token] * blur.mix(said, len(ids), soft)
        else:
            ids.append(token)
    return {**_row(ids, turns, processor), SOFT: soft}


def _row(
    prefix: Sequence[int], turns: Sequence[tuple[str, str]], processor: EcgLlmProcessor
) -> dict:
    """The paper's prompt up to where a question begins, and questions with their answers."""
    return packed_row(
        prefix,
        [
            (
                processor.continue_ids(question.strip(), _ASKED_AFTER),
                processor.answer_ids(answer, question.strip()),
            )
            for question, answer in turns
        ],
    )


def dialogue_rows(
    talk: Sequence[tuple[str, str]], processor: EcgLlmProcessor, pack: int = 1
) -> list[dict]:
    """Questions and answers about no ECG -> training rows of `pack`, loss on the answers.

    Few in a row: words are learned by heart in many small steps, not in few large ones.
    """
    start = processor.tokenizer.bos_token_id
    turns = [
        (processor.text_ids(question.strip()), processor.answer_ids(answer, question.strip()))
        for question, answer in talk
    ]
    return [packed_row([start], turns[k : k + pack]) for k in range(0, len(turns), pack)]


def sentence_rows(texts: Sequence[str], processor: EcgLlmProcessor) -> list[dict]:
    """Plain text -> training rows with loss on every token."""
    rows = []
    for text in texts:
        ids = [*processor.text_ids(text), processor.tokenizer.eos_token_id]
        ids = [processor.tokenizer.bos_token_id, *ids]
        rows.append({**packed_row(ids, []), "labels": ids})
    return rows

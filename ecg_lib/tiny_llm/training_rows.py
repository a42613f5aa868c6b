"""Training rows of the tiny LLM: texts, questions and answers as token ids.

Questions about ECGs use the paper's prompt, with a report in place of the ECG embeddings.
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
    """A processor that caches the tokens of each text, because most questions recur often."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, slots: int):
        super().__init__(tokenizer, slots)
        self._text_ids = cache(super().text_ids)
        self._continue_ids = cache(super().continue_ids)

    def text_ids(self, text: str) -> list[int]:
        """Return the token ids of a text by itself; an ECG in it is one id."""
        return self._text_ids(text)

    def continue_ids(self, text: str, after: str) -> list[int]:
        """Return the token ids of `text` after `after` and one space."""
        return self._continue_ids(text, after)


def report_rows(
    rows: pd.DataFrame,
    report: Report,
    processor: EcgLlmProcessor,
    seed: int,
    pack: int = 6,
    disturb: Callable[[str, np.random.Generator], str] | None = None,
    blur: Blur | None = None,
) -> list[dict]:
    """Turn question rows into training rows with a report in place of the ECG.

    Questions about the same ECG share one report and the paper's prompt, so that fewer tokens teach
    as many answers. Each is answered as if it were asked alone (:mod:`ecg_lib.ecg_llm.packing`).
    The seed decides which questions share a row. Multiple answers follow the order of the report,
    which is easier to learn than ECG-QA's order and equally correct.

    Parameters
    ----------
    rows : DataFrame
        Question rows (`question`, `answer`, `ecg_id`).
    report : callable
        Returns the written report of an ECG.
    processor : EcgLlmProcessor
        Tokenises prompts and answers.
    seed : int
        Seed of all random draws.
    pack : int
        Most questions per training row.
    disturb : callable, optional
        Changes the words of questions about one ECG (see `disturber`).
    blur : Blur, optional
        Replaces the text of some reports by slots.
    """
    rng = np.random.default_rng(seed)
    shuffled = rows.iloc[rng.permutation(len(rows))]
    by_ecgs: dict[tuple[str, ...], list[tuple[str, Sequence[str]]]] = {}
    for question, answer, ecgs in zip(
        shuffled["question"], shuffled["answer"], shuffled["ecg_id"], strict=True
    ):
        if disturb and len(ecgs) == 1:  # every word of a comparison matters
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
    """Sort answers by where the reports state them; only whole statements count."""
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
    """Return a function that disturbs a share of questions, so that exact wordings do not matter.

    It drops words, replaces them by words of the general text, or puts such words in front. Medical
    terms (`phrases`) stay. This makes up for some of the ways of asking that LLaMA has seen.
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
    """Turn toy passages into training rows: text and questions, with loss on the answers."""
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
    """Turn synthetic reports and their questions into training rows."""
    return [_asked(e.reports, e.turns, processor, blur) for e in exercises]


def _asked(
    reports: Sequence[str],
    turns: Sequence[tuple[str, str]],
    processor: EcgLlmProcessor,
    blur: Blur | None,
) -> dict:
    """Build a row of questions about reports, which are written or, as `blur` draws, blurred."""
    if blur is None or not blur.next():
        return _row(processor.prompt_ids("", reports), turns, processor)
    ids: list[int] = []
    soft, texts = Mixture([], [], []), iter(reports)
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
    """Append questions and answers to the prompt, which ends where a question begins."""
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
    """Turn questions without an ECG into training rows of `pack`, with loss on the answers.

    Rows are short because exact words are memorised in many small steps, not in a few large ones.
    """
    start = processor.tokenizer.bos_token_id
    turns = [
        (processor.text_ids(question.strip()), processor.answer_ids(answer, question.strip()))
        for question, answer in talk
    ]
    return [packed_row([start], turns[k : k + pack]) for k in range(0, len(turns), pack)]


def sentence_rows(texts: Sequence[str], processor: EcgLlmProcessor) -> list[dict]:
    """Turn plain text into training rows with loss on every token."""
    rows = []
    for text in texts:
        ids = [*processor.text_ids(text), processor.tokenizer.eos_token_id]
        ids = [processor.tokenizer.bos_token_id, *ids]
        rows.append({**packed_row(ids, []), "labels": ids})
    return rows

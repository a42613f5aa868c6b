"""Pretrain the tiny LLM to answer questions about a *written* report, then freeze it.

This is the role that LLaMA-2 plays in the paper: it can read before it ever meets an ECG. Each turn
has the paper's prompt with a report in the place of the ECG embeddings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerBase,
    set_seed,
)

from ecg_lib.config import Config
from ecg_lib.errors import DataError
from ecg_lib.models.processor import ONE_ECG, QUESTION, TWO_ECGS, EcgLlmProcessor
from ecg_lib.models.tiny_llm import tiny_llama, train_byte_pairs
from ecg_lib.questions.everyday import Passage, everyday_passages
from ecg_lib.questions.vocabulary import answer_text
from ecg_lib.training.asked_alone import AskedAlone, collate, shared_row
from ecg_lib.training.trainer import fit

_PROBE = "Why?"
Report = Callable[[str, np.random.Generator], str]  # ecg_id -> a written report


class _Remembering(EcgLlmProcessor):
    """Tokenises a text once: answers and most questions come up again and again."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, slots: int):
        super().__init__(tokenizer, slots)
        self._known: dict[str, list[int]] = {}

    def _ids(self, text: str) -> list[int]:
        if text not in self._known:
            self._known[text] = super()._ids(text)
        return self._known[text]


def turns(rows: pd.DataFrame, report: Report, processor: EcgLlmProcessor, seed: int,
          pack: int = 6, disturb: Callable[[str, np.random.Generator], str] | None = None
          ) -> list[dict]:
    """Question rows -> training rows: a written report in the ECG's place, up to `pack` questions.

    Questions about the same ECG share one report and the paper's prompt, so that a token read
    teaches more answers; each is answered as if asked alone (:mod:`ecg_lib.training.asked_alone`).
    Which questions stand together is drawn anew for each seed.
    """
    rng = np.random.default_rng(seed)
    shuffled = rows.iloc[rng.permutation(len(rows))]
    by_ecgs: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for question, answer, ecgs in zip(shuffled["question"], shuffled["answer"],
                                      shuffled["ecg_id"], strict=True):
        if disturb and len(ecgs) == 1:  # what is compared with what hangs on every word
            question = disturb(question, rng)
        by_ecgs.setdefault(tuple(ecgs), []).append((question, answer_text(answer)))
    examples = []
    for ecgs, asked in by_ecgs.items():
        for start in range(0, len(asked), pack):
            prefix = _until_question([report(e, rng) for e in ecgs], processor)
            examples.append(_row(prefix, asked[start: start + pack], processor))
    return examples


def disturber(general: Sequence[str], phrases: Sequence[str], share: float
              ) -> Callable[[str, np.random.Generator], str]:
    """A function that disturbs a share of questions, so that no exact wording is relied on.

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


def comprehension(passages: Sequence[Passage], processor: EcgLlmProcessor) -> list[dict]:
    """Everyday passages -> training rows: the text, its questions, loss on the answers."""
    start = processor.tokenizer.bos_token_id
    return [_row([start, *_words(passage.text + " " + QUESTION.format(question=""), processor)],
                 passage.turns, processor) for passage in passages]


def _row(prefix: Sequence[int], turns: Sequence[tuple[str, str]], processor: EcgLlmProcessor
         ) -> dict:
    return shared_row(prefix, [(_words(question, processor), processor.answer_ids(answer))
                               for question, answer in turns])


def _until_question(reports: Sequence[str], processor: EcgLlmProcessor) -> list[int]:
    """The paper's prompt up to where a question begins."""
    return processor.prompt_ids(_PROBE, reports)[: -len(_words(_PROBE, processor))]


def _words(text: str, processor: EcgLlmProcessor) -> list[int]:
    return processor.answer_ids(text.strip())[:-1]  # without the end mark


def sentences(texts: Sequence[str], processor: EcgLlmProcessor) -> list[dict]:
    """Plain text -> training rows with loss on every token."""
    rows = []
    for text in texts:
        ids = [processor.tokenizer.bos_token_id, *processor.answer_ids(text)]
        rows.append({**shared_row(ids, []), "labels": ids})
    return rows


def pretrain_tiny(rows: pd.DataFrame, report: Report, general: Sequence[str],
                  phrases: Sequence[str], config: Config, folder: Path) -> None:
    """Train tokenizer and tiny Llama on reading comprehension and general text; save both.

    Parameters
    ----------
    rows : question rows of training ECGs, train wordings only.
    report : gives a written report of an ECG, worded anew at each call.
    general : plain sentences that hold the words of all wordings, and the glossary.
    phrases : findings and answers that may become single tokens.
    """
    set_seed(config.seed)
    settings, rng = config.llm, np.random.default_rng(config.seed)
    sample = rows.sample(min(len(rows), settings.rows), random_state=config.seed)
    frames = [QUESTION.format(question=""), " ".join(ONE_ECG), " ".join(TWO_ECGS)]
    passages = everyday_passages(settings.passages, config.seed)
    everyday = [" ".join([p.text, *map(" ".join, p.turns)]) for p in passages[:3000]]
    written = [report(ecgs[0], rng) for ecgs in sample["ecg_id"].head(5000)]
    texts = [*general, *frames, *everyday, *rows["question"].unique(),
             *map(answer_text, rows["answer"]), *written]
    tokenizer = train_byte_pairs(texts, settings.vocabulary, phrases)
    processor = _Remembering(tokenizer, slots=0)
    model = tiny_llama(tokenizer, settings.width, settings.depth, settings.heads)
    disturb = disturber(general, phrases, settings.disturb)
    data, asked = [], 0
    while asked < settings.rows:  # reports are worded anew, so passes never repeat a text
        data += turns(sample, report, processor, config.seed + asked, settings.pack, disturb)
        asked += len(sample)
    data += comprehension(passages, processor)
    data += sentences(general, processor) * (1 + settings.rows // 10_000)
    history = fit(AskedAlone(model), data, partial(collate, processor=processor), folder, epochs=1,
                  batch_size=settings.batch_size, learning_rate=settings.learning_rate,
                  weight_decay=0.01, warmup=0.05, seed=config.seed, bf16=settings.bf16,
                  group_by_length=True, clip_norm=1.0)
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    history.to_csv(folder / "curve.csv", index=False)


def load_llm(name_or_path: str | Path, dtype: str = "float32"):
    """A causal LM and its tokenizer by hub id or folder, frozen.

    Raises
    ------
    DataError
        It cannot be had: neither a folder nor reachable on the hub.
    """
    name = str(name_or_path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = AutoModelForCausalLM.from_pretrained(name, dtype=getattr(torch, dtype))
    except (OSError, ValueError) as error:
        raise DataError(f"llm.name_or_path {name!r} cannot be loaded ({str(error).splitlines()[0]})"
                        "; give a folder written by save_pretrained, or log in to the hub") \
            from error
    return model.eval().requires_grad_(False), tokenizer

"""Pretrain the tiny LLM to answer questions about a *written* report, then freeze it.

This is the role that LLaMA-2 plays in the paper: it can read before it ever meets an ECG. Each turn
has the paper's prompt with a report in the place of the ECG embeddings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    set_seed,
)

from ecg_lib.config import Config
from ecg_lib.errors import DataError
from ecg_lib.models.processor import ONE_ECG, QUESTION, TWO_ECGS, EcgLlmProcessor
from ecg_lib.models.tiny_llm import tiny_llama, train_byte_pairs
from ecg_lib.questions.advice import spans, talks
from ecg_lib.questions.everyday import Passage, everyday_passages
from ecg_lib.questions.look_ups import FEW, look_ups
from ecg_lib.questions.made_up import Practice, made_up_pairs
from ecg_lib.questions.vocabulary import JOINER, answer_text, canonical_order
from ecg_lib.training.asked_alone import AskedAlone, collate, shared_row
from ecg_lib.training.muon import MuonAdamW
from ecg_lib.training.trainer import fit

_PROBE = "Why?"
_LEARNED = 0.45  # loss a token of look-ups; where comparing is not learned yet, it ends at 0.5-0.6
_MORE, _MORE_READING = 3, 2  # further courses at most, each half as long
_AVERAGED = 0.1  # of look-ups: their last kind is the hardest, so the rate does not fall before it
_REPLAYED = 16  # of so many look-ups one comes again with the reading
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
    Which questions stand together is drawn anew for each seed. Several answers stand in the order
    of the reports, which is easier to learn than ECG-QA's and no less true.
    """
    rng = np.random.default_rng(seed)
    shuffled = rows.iloc[rng.permutation(len(rows))]
    by_ecgs: dict[tuple[str, ...], list[tuple[str, Sequence[str]]]] = {}
    for question, answer, ecgs in zip(shuffled["question"], shuffled["answer"],
                                      shuffled["ecg_id"], strict=True):
        if disturb and len(ecgs) == 1:  # what is compared with what hangs on every word
            question = disturb(question, rng)
        by_ecgs.setdefault(tuple(ecgs), []).append((question, answer))
    examples = []
    for ecgs, asked in by_ecgs.items():
        for start in range(0, len(asked), pack):
            reports = [report(e, rng) for e in ecgs]
            said = [(question, JOINER.join(_as_reported(answer, reports)))
                    for question, answer in asked[start: start + pack]]
            examples.append(_row(_until_question(reports, processor), said, processor))
    return examples


def _as_reported(answers: Sequence[str], reports: Sequence[str]) -> list[str]:
    """Answers in the order of the statements that they repeat; names within names do not count."""
    if len(answers) < 2:
        return list(answers)
    text = ". ".join(reports)

    def place(answer: str) -> int:
        said = re.search(rf"(?:^|\. )(?:possible )?{re.escape(answer)}(?:\.|$| in lead)", text)
        return said.start() if said else len(text)

    return sorted(canonical_order(answers), key=place)


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


def practice(texts: Sequence[Practice], processor: EcgLlmProcessor) -> list[dict]:
    """Made-up reports and their questions -> training rows."""
    return [_row(_until_question(text.reports, processor), text.turns, processor)
            for text in texts]


def _row(prefix: Sequence[int], turns: Sequence[tuple[str, str]], processor: EcgLlmProcessor
         ) -> dict:
    return shared_row(prefix, [(_words(question, processor), processor.answer_ids(answer))
                               for question, answer in turns])


def _until_question(reports: Sequence[str], processor: EcgLlmProcessor) -> list[int]:
    """The paper's prompt up to where a question begins."""
    return processor.prompt_ids(_PROBE, reports)[: -len(_words(_PROBE, processor))]


def _words(text: str, processor: EcgLlmProcessor) -> list[int]:
    return processor.answer_ids(text.strip())[:-1]  # without the end mark


def dialogues(talk: Sequence[tuple[str, str]], processor: EcgLlmProcessor, pack: int = 1
              ) -> list[dict]:
    """Questions and answers about no ECG -> training rows of `pack`, loss on the answers.

    Few in a row: words are learned by heart in many small steps, not in few large ones.
    """
    start = processor.tokenizer.bos_token_id
    return [_row([start], talk[k: k + pack], processor) for k in range(0, len(talk), pack)]


def sentences(texts: Sequence[str], processor: EcgLlmProcessor) -> list[dict]:
    """Plain text -> training rows with loss on every token."""
    rows = []
    for text in texts:
        ids = [processor.tokenizer.bos_token_id, *processor.answer_ids(text)]
        rows.append({**shared_row(ids, []), "labels": ids})
    return rows


class Matter(NamedTuple):
    """What a course of reading is made of."""

    passes: list[pd.DataFrame]  # question rows
    pairs: list[Practice]
    passages: list[Passage]
    talk: list[tuple[str, str]]
    spans: list[tuple[str, str]]


def reading_matter(draw: Callable[[int], pd.DataFrame], config: Config, course: int = 0) -> Matter:
    """Draw a course of reading; all after the first are half as long and have other texts."""
    settings, seed, share = config.llm, config.seed + 100_000 * course, 2 if course else 1
    return Matter(_passes(lambda k: draw(k + 100 * course), settings.rows // share, seed),
                  made_up_pairs(settings.made_up // share, seed),
                  everyday_passages(settings.passages // share, seed),
                  talks(settings.talks // share, seed), spans(4 * settings.talks // share, seed))


def pretrain_tiny(draw: Callable[[int], pd.DataFrame], report: Report, general: Sequence[str],
                  phrases: Sequence[str], config: Config, folder: Path,
                  reads: Callable[[LlamaForCausalLM, PreTrainedTokenizerBase], float] | None = None
                  ) -> None:
    """Train tokenizer and tiny Llama on reading comprehension and general text; save both.

    Short look-ups come first: a model that cannot find a name in a report learns nothing from a
    question in a sentence, and most of the practice would be lost on it. Where they have not been
    learned by the end of their course, more of them follow; so does more reading, in other texts,
    where the model does not read well enough.

    Parameters
    ----------
    draw : pass number -> question rows of training ECGs, never in a held-out wording. Every pass
        has others: rows that come again are learnt by heart, comparisons first of all.
    report : gives a written report of an ECG, worded anew at each call.
    general : plain sentences that hold the words of all wordings.
    phrases : findings and answers that may become single tokens.
    reads : the share of development questions read right, held to ``llm.reading_gate``.
    """
    set_seed(config.seed)
    settings, rng = config.llm, np.random.default_rng(config.seed)
    matter, first = reading_matter(draw, config), look_ups(settings.look_ups, config.seed)
    frames = [QUESTION.format(question=""), " ".join(ONE_ECG), " ".join(TWO_ECGS)]
    frames *= 1000  # they stand in every row: spelt out, they are a third of it
    everyday = [" ".join([p.text, *map(" ".join, p.turns)]) for p in matter.passages[:3000]]
    written = [report(ecgs[0], rng) for ecgs in matter.passes[0]["ecg_id"].head(5000)]
    asked = [" ".join(turn) for text in [*first[-1000:], *matter.pairs[:1000]]
             for turn in text.turns]
    texts = [*general, *map(" ".join, matter.talk[:1000]), *frames, *everyday, *written, *asked,
             *matter.passes[0]["question"].unique(), *map(answer_text, matter.passes[0]["answer"])]
    tokenizer = train_byte_pairs(texts, settings.vocabulary, phrases)
    processor = _Remembering(tokenizer, slots=0)
    model = tiny_llama(tokenizer, settings.width, settings.depth, settings.heads)
    course = partial(_course, model, processor, config, folder)
    histories = [course("look_ups", practice(first, processor), settings.look_up_rate, _AVERAGED)]
    for k in range(1, 1 + _MORE):  # when comparing is learned is luck
        if histories[-1]["loss"].iloc[-1] < _LEARNED:
            break
        first = look_ups(settings.look_ups // 2, config.seed + k, start=FEW)
        histories.append(course(f"look_ups_{k + 1}", practice(first, processor),
                                settings.look_up_rate, _AVERAGED))
    for k in range(1 + _MORE_READING):
        if k:
            if reads is None or reads(model, tokenizer) >= settings.reading_gate:
                break
            matter = reading_matter(draw, config, course=k)
        rows = reading_course(matter, report, general, phrases, processor, config)
        rows += practice(first[::_REPLAYED], processor)  # lest what is rarely asked be forgotten
        histories.append(course("reading" if k == 0 else f"reading_{k + 1}", of_like_length(
            rows, settings.batch_size, config.seed + k), settings.learning_rate))
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    pd.concat(histories).to_csv(folder / "curve.csv", index=False)


def reading_course(matter: Matter, report: Report, general: Sequence[str], phrases: Sequence[str],
                   processor: EcgLlmProcessor, config: Config) -> list[dict]:
    """Training rows of a course of reading."""
    settings, disturb = config.llm, disturber(general, phrases, config.llm.disturb)
    rows = [example for k, part in enumerate(matter.passes)  # reports are worded anew in each
            for example in turns(part, report, processor, config.seed + k, settings.pack, disturb)]
    rows += practice(matter.pairs, processor) + comprehension(matter.passages, processor)
    rows += sentences(general, processor) * settings.general
    return rows + dialogues(matter.talk, processor) + dialogues(matter.spans, processor, pack=4)


def _course(model: LlamaForCausalLM, processor: EcgLlmProcessor, config: Config, folder: Path,
            name: str, rows: Sequence[dict], rate: float, average: float = 0.0) -> pd.DataFrame:
    """Train on rows in their order, from `rate` to zero or, with `average`, at `rate` throughout.

    Returns the learning curve.
    """
    by_muon = MuonAdamW(model, (model.get_input_embeddings(),), rate, weight_decay=0.01)
    history = fit(AskedAlone(model), rows, partial(collate, processor=processor), folder / name,
                  epochs=1, batch_size=config.llm.batch_size, learning_rate=rate, warmup=0.05,
                  seed=config.seed, bf16=config.llm.bf16, in_order=True, clip_norm=1.0,
                  average=average, optimizer=by_muon)
    (folder / name).rmdir()
    return history.assign(course=name)


def _passes(draw: Callable[[int], pd.DataFrame], n: int, seed: int) -> list[pd.DataFrame]:
    """Passes until there are `n` rows; of the last one, a sample."""
    passes: list[pd.DataFrame] = []
    while (missing := n - sum(map(len, passes))) > 0:
        rows = draw(len(passes))
        passes.append(rows.sample(min(len(rows), missing), random_state=seed))
    return passes


def of_like_length(rows: Sequence[dict], batch_size: int, seed: int, among: int = 30
                   ) -> list[dict]:
    """Rows in a random order in which batches hold rows of similar length, so little padding."""
    rng = np.random.default_rng(seed)
    order, batches = rng.permutation(len(rows)), []
    for start in range(0, len(rows), among * batch_size):
        some = sorted(order[start: start + among * batch_size],
                      key=lambda i: len(rows[i]["input_ids"]))
        batches += [some[k: k + batch_size] for k in range(0, len(some), batch_size)]
    full = [batch for batch in batches if len(batch) == batch_size]
    rest = [batch for batch in batches if len(batch) < batch_size]  # last: batches stay aligned
    return [rows[i] for k in rng.permutation(len(full)) for i in full[k]] + \
        [rows[i] for batch in rest for i in batch]


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

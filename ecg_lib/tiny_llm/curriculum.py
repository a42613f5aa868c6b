"""Pretrain the tiny LLM: short look-ups first, then reading comprehension; then it is frozen.

This is the role that LLaMA-2 plays in the paper: it can read before it ever meets an ECG.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase, set_seed

from ecg_lib.config import Config
from ecg_lib.ecg_llm.language_model import load_llm
from ecg_lib.ecg_llm.processor import ONE_ECG, QUESTION, TWO_ECGS, EcgLlmProcessor
from ecg_lib.knowledge.advice import spans, talks
from ecg_lib.questions.vocabulary import answer_text
from ecg_lib.tiny_llm.llama import tiny_llama, train_byte_pairs
from ecg_lib.tiny_llm.lookup_tasks import FEW, SEVERAL, look_ups
from ecg_lib.tiny_llm.packed_rows import AskedAlone, collate
from ecg_lib.tiny_llm.synthetic_reports import Practice, made_up_pairs
from ecg_lib.tiny_llm.toy_passages import Passage, everyday_passages
from ecg_lib.tiny_llm.training_rows import (
    Remembering,
    Report,
    comprehension,
    dialogues,
    disturber,
    practice,
    sentences,
    turns,
)
from ecg_lib.training.fit import Schedule, fit
from ecg_lib.training.muon import MuonAdamW

_LEARNED = 0.3  # loss a token of look-ups; where comparing is barely learned, it ends at 0.4-0.6
_MORE, _MORE_READING = 3, 2  # further courses at most, each half as long
_ANEW = 16  # for so many look-ups one more comes with the reading
Draw = Callable[[int], pd.DataFrame]  # pass number -> question rows


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
    return Matter(
        _passes(lambda k: draw(k + 100 * course), settings.rows // share, seed),
        made_up_pairs(settings.made_up // share, seed),
        everyday_passages(settings.passages // share, seed),
        talks(settings.talks // share, seed),
        spans(4 * settings.talks // share, seed),
    )


def learn_look_ups(
    draw: Draw,
    report: Report,
    general: Sequence[str],
    phrases: Sequence[str],
    config: Config,
    folder: Path,
) -> None:
    """Train the tokenizer and, in short look-ups, a tiny Llama; save both.

    A model that cannot find a name in a report learns nothing from a question in a sentence, and
    most of the reading would be lost on it. The rate falls and starts anew with each harder kind.
    Where look-ups have not been learned by the end, more of them follow.

    Parameters
    ----------
    draw : pass number -> question rows of training ECGs, never in a held-out wording. Every pass
        has others: rows that come again are learnt by heart, comparisons first of all.
    report : gives a written report of an ECG, worded anew at each call.
    general : plain sentences that hold the words of all wordings.
    phrases : findings and answers that may become single tokens.
    """
    set_seed(config.seed)
    settings, first = config.llm, look_ups(config.llm.look_ups, config.seed)
    tokenizer = _tokenizer(first, reading_matter(draw, config), report, general, phrases, config)
    processor = Remembering(tokenizer, slots=0)
    model = tiny_llama(tokenizer, settings.width, settings.depth, settings.heads)
    cuts = [int(share * len(first)) for share in (0, FEW, SEVERAL, 1)]
    histories = []
    for k in range(len(cuts) - 1 + _MORE):
        if k < len(cuts) - 1:
            texts = first[cuts[k] : cuts[k + 1]]
        elif histories[-1]["loss"].iloc[-1] < _LEARNED:
            break  # when comparing is learned is luck
        else:
            texts = look_ups(settings.look_ups // 2, config.seed + k, start=FEW)
        rows = in_their_order(practice(texts, processor), settings.batch_size, config.seed + k)
        histories.append(
            _course(
                model, rows, processor, config, folder / f"look_ups_{k + 1}", settings.look_up_rate
            )
        )
    _save(model, tokenizer, histories, folder)


def learn_reading(
    learned: Path,
    draw: Draw,
    report: Report,
    general: Sequence[str],
    phrases: Sequence[str],
    config: Config,
    folder: Path,
    reads: Callable[[LlamaForCausalLM, PreTrainedTokenizerBase], float] | None = None,
) -> None:
    """Teach the model that `learn_look_ups` has saved in `learned` to read; save it in `folder`.

    Where it does not read well enough, more reading follows, in other texts.

    Parameters
    ----------
    reads : the share of development questions read right, held to ``llm.reading_gate``.
    """
    set_seed(config.seed)
    settings = config.llm
    model, tokenizer = load_llm(learned)
    model.requires_grad_(True)
    processor = Remembering(tokenizer, slots=0)
    more = look_ups(settings.look_ups // _ANEW, config.seed + 100)  # lest the rare be forgotten
    histories = [pd.read_csv(learned / "curve.csv")]
    for k in range(1 + _MORE_READING):
        if k and (reads is None or reads(model, tokenizer) >= settings.reading_gate):
            break
        matter = reading_matter(draw, config, course=k)
        rows = reading_course(matter, report, general, phrases, processor, config)
        rows = of_like_length(
            rows + practice(more, processor), settings.batch_size, config.seed + k
        )
        histories.append(
            _course(
                model, rows, processor, config, folder / f"reading_{k + 1}", settings.learning_rate
            )
        )
    _save(model, tokenizer, histories, folder)


def _tokenizer(
    first: Sequence[Practice],
    matter: Matter,
    report: Report,
    general: Sequence[str],
    phrases: Sequence[str],
    config: Config,
) -> PreTrainedTokenizerBase:
    """Byte pairs of some of all that will be read."""
    rng = np.random.default_rng(config.seed)
    frames = [QUESTION.format(question=""), " ".join(ONE_ECG), " ".join(TWO_ECGS)]
    frames *= 1000  # they stand in every row: spelt out, they are a third of it
    everyday = [" ".join([p.text, *map(" ".join, p.turns)]) for p in matter.passages[:3000]]
    written = [report(ecgs[0], rng) for ecgs in matter.passes[0]["ecg_id"].head(5000)]
    asked = [
        " ".join(turn) for text in [*first[-1000:], *matter.pairs[:1000]] for turn in text.turns
    ]
    texts = [
        *general,
        *map(" ".join, matter.talk[:1000]),
        *frames,
        *everyday,
        *written,
        *asked,
        *matter.passes[0]["question"].unique(),
        *map(answer_text, matter.passes[0]["answer"]),
    ]
    return train_byte_pairs(texts, config.llm.vocabulary, phrases)


def _save(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    histories: Sequence[pd.DataFrame],
    folder: Path,
) -> None:
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    pd.concat(histories).to_csv(folder / "curve.csv", index=False)


def reading_course(
    matter: Matter,
    report: Report,
    general: Sequence[str],
    phrases: Sequence[str],
    processor: EcgLlmProcessor,
    config: Config,
) -> list[dict]:
    """Training rows of a course of reading."""
    settings, disturb = config.llm, disturber(general, phrases, config.llm.disturb)
    rows = [
        example
        for k, part in enumerate(matter.passes)  # reports are worded anew in each
        for example in turns(part, report, processor, config.seed + k, settings.pack, disturb)
    ]
    rows += practice(matter.pairs, processor) + comprehension(matter.passages, processor)
    rows += sentences(general, processor) * settings.general
    return rows + dialogues(matter.talk, processor) + dialogues(matter.spans, processor, pack=4)


def _course(
    model: LlamaForCausalLM,
    rows: Sequence[dict],
    processor: EcgLlmProcessor,
    config: Config,
    folder: Path,
    rate: float,
) -> pd.DataFrame:
    """Train on rows in their order, from `rate` to zero; return the learning curve."""
    by_muon = MuonAdamW(model, (model.get_input_embeddings(),), rate, weight_decay=0.01)
    schedule = Schedule(
        epochs=1,
        batch_size=config.llm.batch_size,
        learning_rate=rate,
        warmup=0.05,
        bf16=config.llm.bf16,
        order="as given",
        clip_norm=1.0,
    )
    history = fit(
        AskedAlone(model),
        rows,
        partial(collate, processor=processor),
        folder,
        schedule,
        seed=config.seed,
        optimizer=by_muon,
    )
    folder.rmdir()
    return history.assign(course=folder.name)


def _passes(draw: Callable[[int], pd.DataFrame], n: int, seed: int) -> list[pd.DataFrame]:
    """Passes until there are `n` rows; of the last one, a sample."""
    passes: list[pd.DataFrame] = []
    while (missing := n - sum(map(len, passes))) > 0:
        rows = draw(len(passes))
        passes.append(rows.sample(min(len(rows), missing), random_state=seed))
    return passes


def of_like_length(rows: Sequence[dict], batch_size: int, seed: int, among: int = 30) -> list[dict]:
    """Rows in a random order in which batches hold rows of similar length, so little padding."""
    rng = np.random.default_rng(seed)
    order, batches = rng.permutation(len(rows)), []
    for start in range(0, len(rows), among * batch_size):
        some = sorted(
            order[start : start + among * batch_size], key=lambda i: len(rows[i]["input_ids"])
        )
        batches += [some[k : k + batch_size] for k in range(0, len(some), batch_size)]
    full = [batch for batch in batches if len(batch) == batch_size]
    rest = [batch for batch in batches if len(batch) < batch_size]  # last: batches stay aligned
    return [rows[i] for k in rng.permutation(len(full)) for i in full[k]] + [
        rows[i] for batch in rest for i in batch
    ]


def in_their_order(rows: Sequence[dict], batch_size: int, seed: int, among: int = 30) -> list[dict]:
    """`of_like_length` for a course: rows leave their place for one near by only."""
    near = among * batch_size
    return [
        row
        for start in range(0, len(rows), near)
        for row in of_like_length(rows[start : start + near], batch_size, seed + start, among)
    ]

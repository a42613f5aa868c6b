"""Rows about models: training, answering, zero-shot scores and the encoder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace

import pandas as pd

from benchmarks import plain_answers, plain_training
from benchmarks.old_code import COMMIT, Missing, OldTraining, unpack
from benchmarks.plain_attention import forward_backward, without_fused_kernel
from benchmarks.row import Row, done
from benchmarks.timing import Side, cpu_seconds, in_turn
from benchmarks.workload import Workload
from ecg_lib import encoders
from ecg_lib.config import Stage
from ecg_lib.ecg_llm.answering import score_yes, score_yes_to_each
from ecg_lib.ecg_llm.finetune import train_stage
from ecg_lib.encoders.token_cache import encode_store, encoder_input
from ecg_lib.knowledge.zero_shot_labels import LABEL_TEXT

QUESTIONS = {"all questions": "", "questions about one ECG": "single"}
OLD_STAGE = {"epochs": 1, "learning_rate": 1e-3, "batch_size": 64}


def training(work: Workload, repeats: int) -> Iterator[Row]:
    """Train stage 1 or 2; every ECG is encoded once, at the beginning of the fast way."""
    epochs = 2  # the paper: six and two
    stage = replace(work.config.stage1, epochs=epochs, max_rows=None)
    trials = work.folder / "trials"
    for name, of in QUESTIONS.items():
        rows, few = work.some(1200, of), work.some(48, of)

        def train(model, processor, rows=rows) -> None:
            tokens = encode_store(work.store, work.encoder, trials / "tokens")
            train_stage(model, processor, rows, tokens, stage, trials / "fast", seed=0)

        def fast(train=train) -> float:
            shutil.rmtree(trials, ignore_errors=True)
            model, processor = work.fresh_model()  # building it is not counted
            return cpu_seconds(lambda: train(model, processor))

        def plain(few=few) -> float:
            model, processor = work.fresh_model()
            given = few, processor, work.store, model, stage.batch_size, stage.learning_rate
            return cpu_seconds(lambda: plain_training.plain_epoch(*given))

        visits = epochs * len(rows)
        row = Row(f"stage 1/2 training, {name}", "encoded again, padded to 512, one per row", 20)
        found = in_turn(Side(fast, visits), Side(plain, len(few)), repeats)
        yield row.measured(found, visits)


def old_training(work: Workload, repeats: int, commit: str = COMMIT) -> Iterator[Row]:
    """Train with cached tokens: this code, and that of an earlier commit."""
    place = work.folder / "old"
    for name, of in QUESTIONS.items():
        rows = work.some(1200, of)
        title = f"the same against the code at {commit}, {name}"
        row = Row(title, "Trainer, cached tokens, one per row", 6)

        def fast(rows=rows) -> float:
            given = *work.fresh_model(), rows, work.tokens, Stage(**OLD_STAGE), place / "new"
            return cpu_seconds(lambda: train_stage(*given, seed=0))

        old = None
        try:
            old = OldTraining(unpack(place / "code", commit), old_job(work, rows))
            found = in_turn(Side(fast, len(rows)), Side(old.seconds, len(rows)), repeats)
            yield row.measured(found, len(rows))
        except Missing as reason:
            yield row.missing(str(reason))
        finally:
            if old is not None:
                old.close()
            shutil.rmtree(place, ignore_errors=True)


def old_job(work: Workload, rows: pd.DataFrame) -> dict:
    """Return what the old code trains on, as JSON can hold it."""
    lora = work.config.lora
    return {
        "encoder": {k: v for k, v in work.config.encoder.items() if k != "name"},
        "llm": str(work.llm),
        "lora": {**asdict(lora), "target_modules": list(lora.target_modules)},
        "stage": OLD_STAGE,
        "tokens": str(work.tokens.folder),
        "ecg_ids": work.tokens.ecg_ids,
        "rows": {name: [*map(_plain, rows[name])] for name in ("question", "answer", "ecg_id")},
    }


def answering(work: Workload, repeats: int) -> Iterator[Row]:
    """Answer ECG-QA's three forms of question."""
    model, processor = work.model_and_processor
    for kind, n, at_least in (("verify", 1000, 40), ("choose", 256, 40), ("query", 256, 10)):
        rows, few = work.some(n, kind), work.some(16, kind)
        asked = rows["question"].tolist(), [list(e) for e in rows["ecg_id"]], work.tokens

        def fast(kind=kind, rows=rows, asked=asked) -> None:
            score_yes(model, processor, *asked) if kind == "verify" else work.answers(rows)

        def plain(few=few) -> None:
            plain_answers.ask_one_by_one(model, processor, few, work.tokens)

        found = in_turn(Side(fast, len(rows)), Side(plain, len(few)), repeats)
        row = Row(f"ECG-QA evaluation, {kind}", "batch 1, 32 tokens generated", at_least)
        yield row.measured(found, len(rows))


def zero_shot(work: Workload, repeats: int) -> Iterator[Row]:
    """Ask about nine labels of every ECG."""
    model, processor = work.model_and_processor
    prompt = work.config.evaluation.zero_shot_prompt
    questions = [prompt.format(label=text) for text in LABEL_TEXT.values()]
    ids = work.store.records["ecg_id"].tolist()[:256]
    given = model, processor, questions, ids, work.tokens
    fast = Side(lambda: done(score_yes_to_each(*given)), len(ids))
    plain = Side(lambda: done(plain_answers.nine_passes(*given)), len(ids))
    row = Row("nine-label zero-shot", "nine passes", 4)
    yield row.measured(in_turn(fast, plain, repeats), len(ids))


def encoding(work: Workload, repeats: int) -> Iterator[Row]:
    """Compute the encoder's output and gradients, with the profile's patches and shorter ones."""
    for patch in (work.config.encoder.get("patch", 10), 2):
        settings = {**work.config.encoder, "patch": patch, "dropout": 0.0}
        encoder = encoders.build(settings["name"], settings, work.config.ecg_input()).train()
        slow, some = without_fused_kernel(encoder), range(16)
        ecg = encoder_input(work.store.mv(some), encoder)
        fast = Side(lambda e=encoder, x=ecg: forward_backward(e, x), len(ecg))
        plain = Side(lambda e=slow, x=ecg: forward_backward(e, x), len(ecg))
        tokens = encoder.config.tokens
        title = f"encoder forward and backward, {tokens} tokens"
        row = Row(title, "attention without a fused kernel", 1.3)
        yield row.measured(in_turn(fast, plain, 3 * repeats), len(ecg))


def _plain(value):
    """Return text, or a list of it, as JSON can hold it."""
    return list(value) if isinstance(value, (list, tuple)) or hasattr(value, "tolist") else value

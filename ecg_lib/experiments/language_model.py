"""The language model of a profile: the one it names, or a tiny one trained to read reports.

These are steps for notebook 04: train or load the model, and check that the tiny one passes its
reading gate.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pandas as pd
from transformers import PreTrainedTokenizerBase

from ecg_lib.config import Config, Llm
from ecg_lib.ecg_llm.answering import read_rows
from ecg_lib.ecg_llm.frozen_llm import CausalLm, load_llm
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.encoders.token_cache import on_gpu
from ecg_lib.errors import DataError
from ecg_lib.evaluation import exact_match
from ecg_lib.experiments.experiment import Experiment
from ecg_lib.questions.schema import sample_rows
from ecg_lib.questions.written_reports import Report, written_reports
from ecg_lib.tiny_llm.look_up_course import learn_look_ups
from ecg_lib.tiny_llm.practice import ReportQuestions
from ecg_lib.tiny_llm.pretrain import pretrain
from ecg_lib.training.cache import key_of, train_or_load

CHECKED = 2000  # questions on which an LLM's reading is measured


def llm_of_profile(run: Experiment) -> Path | str:
    """Return the LLM that the profile names, or pretrain or load a tiny one that reads reports."""

    def train(
        reports: Report, questions: ReportQuestions, settings: Llm, folder: Path, seed: int
    ) -> None:
        look_ups = Path(look_ups_of_profile(run))
        pretrain(reports, questions, settings, folder, seed, partial(_read_share, run), look_ups)

    judged_by = read_rows, exact_match.score  # the score decides whether training goes on
    return _made(run, "language_model", train, pretrain, *judged_by)


def look_ups_of_profile(run: Experiment) -> Path | str:
    """Train or load the tiny LLM's first course, which does not depend on the encoder."""
    return _made(run, "look_ups", learn_look_ups, learn_look_ups)


def _made(run: Experiment, name: str, train: Callable, *code) -> Path | str:
    """Train or load one course of the tiny LLM; its key includes the code that makes its texts."""
    config, folder = run.config, run.checkpoints(name)
    if llm := config.llm.name_or_path:  # pretrained elsewhere: the folder only notes its name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "named.json").write_text(json.dumps({"name_or_path": llm}) + "\n")
        return llm
    reports, questions = _reports(run), report_questions(run)
    asked = [config.questions.templates, questions.per_answer, questions.prompt]
    key = key_of(
        *code,
        reports,
        questions,
        params=[config.seed, asdict(config.llm), asked],
        data=run.store.hash,
    )
    return train_or_load(
        folder / "tiny",
        key,
        lambda partial_: train(reports, questions, config.llm, partial_, config.seed),
    )


def report_questions(run: Experiment) -> ReportQuestions:
    """Return the profile's questions about the written reports of its question cohort."""
    config = run.config
    return ReportQuestions(
        run.store.records,
        tuple(config.questions.templates),
        4 * config.questions.per_answer,
        config.evaluation.zero_shot_prompt,
        config.llm.anew,
        config.seed,
    )


def _reports(run: Experiment) -> Report:
    return written_reports(run.store, run.config.questions.templates)


def pretraining_curve(llm: Path | str) -> pd.DataFrame:
    """Return `step` and the loss of each kind of course; empty for an LLM pretrained elsewhere."""
    path = Path(llm) / "curve.csv"
    if not path.is_file():
        return pd.DataFrame(columns=["step"])
    curve = pd.read_csv(path)
    kind = curve["course"].str.extract(r"([a-z_]*[a-z])", expand=False).str.replace("_", "-")
    ends = curve.groupby("course", sort=False)["step"].max().cumsum().shift(fill_value=0)
    curve["step"] += curve["course"].map(ends)
    return (
        curve.assign(kind="loss of " + kind)
        .pivot(index="step", columns="kind", values="loss")
        .rename_axis(columns=None)
        .reset_index()
    )


# -- how well it reads -----------------------------------------------------------------------


def read_answers(
    run: Experiment, model: CausalLm, tokenizer: PreTrainedTokenizerBase
) -> pd.DataFrame:
    """Score by exact match the development questions on written reports of held-out patients."""
    seed = run.config.seed
    rows = sample_rows(report_questions(run).of_split("dev"), CHECKED, seed)
    processor = EcgLlmProcessor(tokenizer, slots=0)
    said = read_rows(model, processor, rows, _reports(run), seed)
    return exact_match.score(said, rows)


def _read_share(run: Experiment, model: CausalLm, tokenizer: PreTrainedTokenizerBase) -> float:
    """Return the share of these questions that an LLM answers right."""
    read = read_answers(run, model, tokenizer)
    share = float(read[exact_match.HEADLINE].mean())
    print(
        f"the LLM answers {share:.1%} of {len(read):,} development questions correctly",
        file=sys.stderr,
    )
    return share


def gate(accuracy: float, config: Config) -> str:
    """Check a tiny LLM's reading accuracy in held-out wordings and return a sentence on it.

    An LLM that the profile names is not checked: before stage 1 it answers in its own words.

    Parameters
    ----------
    accuracy : float
        In percent.

    Raises
    ------
    DataError
        The accuracy is below `llm.reading_gate`; with such an LLM all arms would look alike.
    """
    wanted = 100 * config.llm.reading_gate
    if config.llm.name_or_path:
        return f"{accuracy:.1f}% read correctly; no gate for an LLM that was pretrained elsewhere"
    if accuracy < wanted:
        raise DataError(
            f"llm: {accuracy:.1f}% of held-out wordings read correctly, but "
            f"llm.reading_gate asks for {wanted:.0f}%, so the arms would look alike; give it "
            "more practice (raise llm.look_ups, llm.made_up or llm.rows) or lower "
            "llm.reading_gate to go on anyway"
        )
    return f"gate of {wanted:.0f}% passed: {accuracy:.1f}% read correctly"


def held_to_gate(run: Experiment, llm: Path | str) -> str:
    """Ask a saved tiny LLM the development questions and return the sentence of `gate`.

    Raises
    ------
    DataError
        Its accuracy is below `llm.reading_gate`.
    """
    config = run.config
    if config.llm.name_or_path:
        return "no gate for an LLM that was pretrained elsewhere"
    model, tokenizer = load_llm(llm, config.llm.dtype)
    with on_gpu(model):
        return gate(100 * _read_share(run, model, tokenizer), config)

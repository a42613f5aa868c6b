"""The language model of a profile: the one it names, or a tiny one trained to read reports.

A named model may practise reading too, by LoRA. These are steps for notebook 04: train or load the
model, and check that one that was trained here passes its reading gate.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
from transformers import PreTrainedTokenizerBase

from ecg_lib import paths
from ecg_lib.config import Config, Llm
from ecg_lib.ecg_llm.answering import read_rows
from ecg_lib.ecg_llm.frozen_llm import CausalLm, load_llm
from ecg_lib.ecg_llm.llm_names import find_llm
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.encoders.token_cache import on_gpu
from ecg_lib.errors import DataError
from ecg_lib.evaluation import exact_match
from ecg_lib.experiments.experiment import Experiment
from ecg_lib.experiments.llm_experiment import practised_folder
from ecg_lib.named_llm.fetching import sha256_of
from ecg_lib.named_llm.merging import merge
from ecg_lib.named_llm.reading_practice import practise
from ecg_lib.questions.schema import sample_rows
from ecg_lib.questions.written_reports import Report, written_reports
from ecg_lib.tiny_llm.look_up_course import learn_look_ups
from ecg_lib.tiny_llm.practice import ReportQuestions
from ecg_lib.tiny_llm.pretrain import pretrain
from ecg_lib.training.cache import key_of, train_or_load, version_of

CHECKED = 2000  # questions on which an LLM's reading is measured
_NO_PRACTICE = ("name_or_path", "title", "reading_gate")  # fields that change no weight


def llm_of_profile(run: Experiment) -> Path | str:
    """Return the LLM that the profile names, or train or load one that reads reports."""
    if run.config.llm.practised:
        return _practised(run)

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
        found = find_llm(llm)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "named.json").write_text(json.dumps({"name_or_path": llm}) + "\n")
        return found
    reports, questions = _reports(run), report_questions(run)
    key = key_of(
        *code,
        reports,
        questions,
        params=[config.seed, config.llm.as_dict(), _asked(run, questions)],
        data=run.store.hash,
    )
    return train_or_load(
        folder / "tiny",
        key,
        lambda partial_: train(reports, questions, config.llm, partial_, config.seed),
    )


def _practised(run: Experiment) -> Path:
    """Let the named LLM practise reading and merge its adapter, or only merge a given one."""
    config, llm = run.config, run.config.llm
    assert llm.name_or_path is not None  # the configuration was checked
    name, seed = find_llm(llm.name_or_path), config.seed
    folder = practised_folder(run.checkpoints("language_model"))
    if llm.reading_adapter is not None:
        adapter = paths.ROOT / llm.reading_adapter
        given = {file.name: sha256_of(file) for file in sorted(adapter.glob("adapter_*"))}
        key = key_of(merge, params=llm.dtype, llm=version_of(name), adapter=given)
        return train_or_load(folder, key, lambda to: merge(name, adapter, llm.dtype, to))
    reports, questions = _reports(run), report_questions(run)
    key = key_of(
        practise,
        reports,
        questions,
        params=[
            seed,
            {field: v for field, v in llm.as_dict().items() if field not in _NO_PRACTICE},
            _asked(run, questions),
        ],
        llm=version_of(name),
        data=run.store.hash,
    )
    return train_or_load(folder, key, lambda to: practise(name, reports, questions, llm, to, seed))


def _asked(run: Experiment, questions: ReportQuestions) -> list:
    """Return the settings that decide what is asked about a report."""
    return [run.config.questions.templates, questions.per_answer, questions.prompt]


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
    """Check an LLM's reading accuracy in held-out wordings and return a sentence on it.

    An LLM that practised elsewhere is not checked: before stage 1 it answers in its own words.

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
    if _untrained(config):
        return f"{accuracy:.1f}% read correctly; no gate for an LLM that was pretrained elsewhere"
    if accuracy < wanted:
        raise DataError(
            f"llm: {accuracy:.1f}% of held-out wordings read correctly, but "
            f"llm.reading_gate asks for {wanted:.0f}%, so the arms would look alike; give it "
            "more practice (raise llm.rows; for the tiny LLM also llm.look_ups or llm.made_up) or "
            "lower llm.reading_gate to go on anyway"
        )
    return f"gate of {wanted:.0f}% passed: {accuracy:.1f}% read correctly"


def held_to_gate(run: Experiment, llm: Path | str) -> str:
    """Ask an LLM that was trained here the development questions and return the sentence of `gate`.

    Raises
    ------
    DataError
        Its accuracy is below `llm.reading_gate`.
    """
    config = run.config
    if _untrained(config):
        return "no gate for an LLM that was pretrained elsewhere"
    model, tokenizer = load_llm(llm, config.llm.dtype)
    with on_gpu(model):
        return gate(100 * _read_share(run, model, tokenizer), config)


def _untrained(config: Config) -> bool:
    """Return whether the profile names an LLM and leaves it as it is."""
    return config.llm.name_or_path is not None and not config.llm.practised

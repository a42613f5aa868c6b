"""The language model of a profile, and the reading practice of the tiny one: steps for notebook 04.

The tiny LLM learns to read written reports before it ever meets an ECG token, as LLaMA has.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedTokenizerBase

from ecg_lib.closure import code_hash
from ecg_lib.config import Config
from ecg_lib.data.simulated.reports import statements
from ecg_lib.data.store import EcgStore
from ecg_lib.ecg_llm.answering import read_rows
from ecg_lib.ecg_llm.language_model import load_llm
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.encoders.token_cache import on_gpu
from ecg_lib.errors import DataError, EcgLibError
from ecg_lib.evaluation import exact_match
from ecg_lib.evaluation.zero_shot import LABEL_TEXT
from ecg_lib.experiments.experiment import Experiment
from ecg_lib.experiments.question_sets import question_sizes
from ecg_lib.knowledge.advice import load_advice
from ecg_lib.knowledge.findings import load_findings
from ecg_lib.knowledge.glossary import load_glossary
from ecg_lib.knowledge.zero_shot_labels import zero_shot_targets
from ecg_lib.questions.build import build_questions
from ecg_lib.questions.schema import sample_rows
from ecg_lib.questions.templates import load_templates
from ecg_lib.questions.vocabulary import all_answers
from ecg_lib.tiny_llm import curriculum
from ecg_lib.tiny_llm.general_text import load_general_text
from ecg_lib.tiny_llm.paraphrases import asked_anew, load_practice
from ecg_lib.tiny_llm.synthetic_reports import PLACES, stated
from ecg_lib.tiny_llm.toy_passages import load_everyday
from ecg_lib.training.cache import fingerprint, train_or_load

CHECKED = 2000  # questions that tell how well an LLM reads
READ_PAIRS_AMONG = 300  # ECGs a split, see reading_rows
_THIS_ECG = re.compile(r"(this|the) (ECG|recording|electrocardiogram|tracing)")


def written_reports(config: Config, store: EcgStore) -> practice_rows.Report:
    """A function ecg_id, rng -> a brief written report, its statements in a new order each time.

    A label of Table 4 that is wider than the finding ("left bundle branch block" for a complete
    one) is stated as well: LLaMA knows that one implies the other, the tiny LLM must be told.
    """
    about = {load_templates()[t].attribute_type for t in _templates(config)}
    targets = zero_shot_targets(store.records).fillna(False)
    targets.index = store.records["ecg_id"]
    said: dict[str, list[str]] = {}

    def report(ecg_id: str, rng: np.random.Generator) -> str:
        if ecg_id not in said:
            own = statements(store.record(ecg_id), about)
            wider = [LABEL_TEXT[label] for label, yes in targets.loc[ecg_id].items() if yes]
            said[ecg_id] = [
                *own,
                *(
                    name
                    for name in dict.fromkeys(wider)
                    if not {name, f"possible {name}"} & set(own)
                ),
            ]
        return ". ".join(said[ecg_id][i] for i in rng.permutation(len(said[ecg_id])))

    return report


def _templates(config: Config) -> list[int]:
    return list(config.questions.templates or load_templates())


def label_rows(config: Config, store: EcgStore, split: str, n: int, seed: int) -> pd.DataFrame:
    """Reading practice on the labels of Table 4: up to n yes and n no rows of each."""
    records = store.records[store.records["split"] == split]
    targets = zero_shot_targets(records).fillna(False).astype(bool)
    rows = []
    for number, label in enumerate(targets):
        for answer, hit in (("yes", targets[label]), ("no", ~targets[label])):
            few = records[hit].sample(min(n, int(hit.sum())), random_state=seed)
            question = config.evaluation.zero_shot_prompt.format(label=LABEL_TEXT[label])
            rows += [
                {
                    "template_id": 1,
                    "question_id": number,
                    "question_type": "single-verify",
                    "question": question,
                    "answer": [answer],
                    "ecg_id": [e],
                }
                for e in few["ecg_id"]
            ]
    return pd.DataFrame(rows)


def look_ups_learned(run: Experiment) -> Path | str:
    """The tiny LLM after its short look-ups, which it learns before sentences."""
    if run.config.llm.name_or_path:
        return _named(run.config.llm.name_or_path, run.checkpoints("look_ups"))
    return _look_ups(run, _practice(run.config, run.store))


def language_model(run: Experiment) -> Path | str:
    """The LLM: the one the profile names, or a tiny one pretrained to read reports."""
    config, store, folder = run.config, run.store, run.checkpoints("language_model")
    if config.llm.name_or_path:
        return _named(config.llm.name_or_path, folder)
    practice = _practice(config, store)
    return train_or_load(
        folder / "tiny",
        practice.key,
        lambda partial_: curriculum.learn_reading(
            _look_ups(run, practice),
            *practice.sources,
            config,
            partial_,
            partial(read_share, config, store),
        ),
    )


class _Practice(NamedTuple):
    """What both parts of the tiny LLM's training draw from; a checkpoint is known by its `key`."""

    sources: tuple
    key: dict[str, str]


def _practice(config: Config, store: EcgStore) -> _Practice:
    draw = lru_cache(maxsize=1)(partial(practice_rows, config, store))  # the first is drawn thrice
    return _Practice(
        (draw, written_reports(config, store), load_general_text(), phrases()),
        _key(config, store, draw(0)),
    )


def _look_ups(run: Experiment, practice: _Practice) -> Path | str:
    return train_or_load(
        run.checkpoints("look_ups", "tiny"),
        practice.key,
        lambda partial_: curriculum.learn_look_ups(*practice.sources, run.config, partial_),
    )


def _key(config: Config, store: EcgStore, rows: pd.DataFrame) -> dict[str, str]:
    """All that the tiny LLM comes of; `rows` are those of its first pass."""
    return fingerprint(
        params=[config.seed, asdict(config.llm)],
        data=[
            store.hash,
            load_general_text(),
            phrases(),
            asdict(load_practice()),
            load_everyday(),
            asdict(load_advice()),
            [asdict(entry) for entry in load_glossary().values()],
        ],
        rows=pd.util.hash_pandas_object(rows.astype(str), index=False).tolist(),
        code=code_hash(curriculum.learn_reading, read_rows, exact_match.score),
    )


def _named(llm: str, folder: Path) -> str:
    """An LLM that is not ours to train: a note of its name lies where the tiny one would."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "named.json").write_text(json.dumps({"name_or_path": llm}) + "\n")
    return llm


def practice_curve(llm: Path | str) -> pd.DataFrame:
    """`step` and a loss for each kind of practice; no rows for an LLM pretrained elsewhere."""
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


def phrases() -> list[str]:
    """Findings, answers and the labels of Table 4: each is one word to a cardiologist.

    So is a possible finding: a model this small does not connect the two words.
    """
    possible = [f"possible {name}" for name in stated()]
    return [*load_findings()["name"], *all_answers(), *LABEL_TEXT.values(), *possible]


def reading_rows(
    config: Config, store: EcgStore, split: str = "train", draw: int = 0
) -> pd.DataFrame:
    """Questions about written reports: no confounding, so that reading teaches no shortcut.

    Comparisons of different patients are drawn among few of them, so that many questions share a
    pair of reports and are read at once. Another `draw` has other questions, patients and pairs.
    """
    templates = _templates(config)
    mixed = [
        t
        for t in templates
        if load_templates()[t].question_type.endswith("irrelevant-verify")
        or load_templates()[t].question_type.endswith("irrelevant-query")
    ]
    records, seed = store.records, config.seed + 1 + 1000 * draw
    few = records.sample(frac=1, random_state=seed).groupby("split").head(READ_PAIRS_AMONG)
    sizes = question_sizes(4 * config.questions.per_answer)
    parts = [
        build_questions(part, sizes, 0.0, seed, chosen)[split]
        for part, chosen in ((records, sorted(set(templates) - set(mixed))), (few, mixed))
        if chosen
    ]
    return pd.concat(parts, ignore_index=True)


def practice_rows(config: Config, store: EcgStore, draw: int) -> pd.DataFrame:
    """What the tiny LLM practises in a pass: `reading_rows` of train, a share of them in words of
    practice, the labels of Table 4, and questions about one of two ECGs.

    Half of it: a template with four times the rows of another has twice as many in practice.
    """
    rows, seed = reading_rows(config, store, "train", draw), config.seed + 1 + 1000 * draw
    rng = np.random.default_rng(seed)
    asked = {q.id: q for t in _templates(config) for q in load_templates()[t].questions()}
    rows["question"] = [
        (rng.random() < config.llm.anew and asked_anew(asked[number], rng)) or question
        for number, question in zip(rows["question_id"], rows["question"], strict=True)
    ]
    rows = pd.concat(
        [rows, label_rows(config, store, "train", 4 * config.questions.per_answer, seed)],
        ignore_index=True,
    )
    rows = pd.concat([rows, placed_rows(rows, 2, seed)], ignore_index=True)
    often = rows["template_id"].map(rows["template_id"].value_counts())
    return rows.sample(-(-len(rows) // 2), weights=often**-0.5, random_state=seed)


def placed_rows(rows: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """Yes/no questions about one ECG, asked of one of two: what comparing is made of.

    Parameters
    ----------
    rows : question rows about one ECG and about two.
    n : questions about each of the two ECGs of every comparison.
    """
    rng, single = np.random.default_rng(seed), rows[rows["question_type"] == "single-verify"]
    asked = dict(iter(single.groupby(single["ecg_id"].str[0])))
    pairs = dict.fromkeys(tuple(e) for e in rows["ecg_id"] if len(e) == 2)
    placed = []
    for pair in pairs:
        for k, ecg in enumerate(pair):
            for i in rng.integers(len(asked[ecg]), size=n) if ecg in asked else ():
                row = asked[ecg].iloc[i]
                place = PLACES[rng.integers(len(PLACES))][k]
                text = _THIS_ECG.sub(place, row["question"])
                if text == row["question"]:
                    text = f"In {place}: {text}"
                placed.append(
                    {
                        **row,
                        "question": text,
                        "ecg_id": list(pair),
                        "question_type": "comparison_irrelevant-verify",
                    }
                )
    return pd.DataFrame(placed, columns=rows.columns)


def read_answers(
    config: Config, store: EcgStore, model: torch.nn.Module, reader: EcgLlmProcessor
) -> pd.DataFrame:
    """Development questions about written reports of held-out patients, scored by exact match."""
    rows = sample_rows(reading_rows(config, store, "dev"), CHECKED, config.seed)
    said = read_rows(model, reader, rows, written_reports(config, store), config.seed)
    return exact_match.score(said, rows)


def read_share(
    config: Config, store: EcgStore, model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase
) -> float:
    """The share of them that a tiny LLM in training reads right."""
    read = read_answers(config, store, model, EcgLlmProcessor(tokenizer, slots=0))
    share = float(read[exact_match.HEADLINE].mean())
    print(f"reads {share:.1%} of {len(read):,} development questions", file=sys.stderr)
    return share


def gate(accuracy: float, config: Config) -> str:
    """A sentence on a tiny LLM's reading accuracy (percent) in held-out wordings.

    An LLM that the profile names answers in its own words before stage 1; it passes ungated.

    Raises
    ------
    DataError
        It is below ``llm.reading_gate``: no way of training it would differ from another.
    """
    wanted = 100 * config.llm.reading_gate
    if config.llm.name_or_path:
        return f"{accuracy:.1f}% read; no gate for an LLM that was pretrained elsewhere"
    if accuracy < wanted:
        raise DataError(
            f"llm: {accuracy:.1f}% of held-out wordings read, llm.reading_gate asks for "
            f"{wanted:.0f}%: the arms would look alike; practise more (llm.look_ups, "
            "llm.made_up, llm.rows) or, to go on all the same, lower llm.reading_gate"
        )
    return f"gate of {wanted:.0f}% passed: {accuracy:.1f}% read"


def held_to_gate(run: Experiment, llm: Path | str) -> str:
    """Ask a saved tiny LLM the development questions; `gate`'s sentence on what it reads.

    Raises
    ------
    DataError
        It is below ``llm.reading_gate``.
    """
    config = run.config
    if config.llm.name_or_path:
        return "no gate for an LLM that was pretrained elsewhere"
    model, tokenizer = load_llm(llm, config.llm.dtype)
    with on_gpu(model):
        read = read_answers(config, run.store, model, EcgLlmProcessor(tokenizer, slots=0))
    return gate(100 * read[exact_match.HEADLINE].mean(), config)


def main(steps: Sequence[str]) -> None:
    """Make the language model of params.yaml, as notebook 04 would.

    With "look_ups" it makes the first part of it. Both are stages of the pipeline, so that look-ups
    can be learned beside the encoder: neither needs the other.
    """
    try:
        run = Experiment.open()
        look_ups_learned(run) if "look_ups" in steps else language_model(run)
    except EcgLibError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])

"""The language model of a profile, and the reading practice of the tiny one: steps for notebook 04.

The tiny LLM learns to read written reports before it ever meets an ECG token, as LLaMA has.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_lib import paths
from ecg_lib.cohorts.labels import load_findings, zero_shot_targets
from ecg_lib.cohorts.simulate.reports import statements
from ecg_lib.cohorts.store import EcgStore
from ecg_lib.config import Config
from ecg_lib.evaluation.zero_shot import LABEL_TEXT
from ecg_lib.questions.build import build_questions
from ecg_lib.questions.templates import load_templates
from ecg_lib.questions.texts import load_general_text, load_glossary
from ecg_lib.questions.vocabulary import all_answers
from ecg_lib.training import language
from ecg_lib.training.fingerprint import code_version, fingerprint, train_or_load
from ecg_lib.workflow import question_sizes

READ_PAIRS_AMONG = 300  # ECGs a split, see reading_rows
PLACES = (("first", "second"), ("previous", "recent"))  # names of the ECGs of a comparison
_THIS_ECG = re.compile(r"(this|the) (ECG|recording|electrocardiogram|tracing)")


def written_reports(config: Config, store: EcgStore) -> language.Report:
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
            wider = [LABEL_TEXT[label] for label, yes in targets.loc[ecg_id].items() if yes]
            said[ecg_id] = list(dict.fromkeys([*statements(store.record(ecg_id), about), *wider]))
        return ". ".join(said[ecg_id][i] for i in rng.permutation(len(said[ecg_id])))

    return report


def _templates(config: Config) -> list[int]:
    return list(config.questions.templates or load_templates())


def label_rows(config: Config, store: EcgStore, split: str, n: int) -> pd.DataFrame:
    """Reading practice on the labels of Table 4: up to n yes and n no rows of each."""
    records = store.records[store.records["split"] == split]
    targets = zero_shot_targets(records).fillna(False).astype(bool)
    rows = []
    for number, label in enumerate(targets):
        for answer, hit in (("yes", targets[label]), ("no", ~targets[label])):
            few = records[hit].sample(min(n, int(hit.sum())), random_state=config.seed)
            question = config.evaluation.zero_shot_prompt.format(label=LABEL_TEXT[label])
            rows += [{"template_id": 1, "question_id": number, "question_type": "single-verify",
                      "question": question, "answer": [answer], "ecg_id": [e]}
                     for e in few["ecg_id"]]
    return pd.DataFrame(rows)


def general_text() -> list[str]:
    """Plain English about ECGs, and the glossary as question and answer."""
    lines = [f"What does {e.term} mean? {e.what} It can lead to: {e.leads_to} When to see a "
             f"doctor: {e.see_doctor}" for e in load_glossary().values()]
    return [*load_general_text(), *lines]


def language_model(config: Config, store: EcgStore) -> Path | str:
    """The LLM: the one the profile names, or a tiny one pretrained to read reports."""
    if config.llm.name_or_path:
        return _named(config.llm.name_or_path,
                      paths.checkpoints_dir(config.profile) / "language_model")
    general, rows = general_text(), reading_rows(config, store)
    key = fingerprint(params=[config.seed, asdict(config.llm)],
                      data=[store.hash, general, phrases()],
                      rows=pd.util.hash_pandas_object(rows.astype(str), index=False).tolist(),
                      code=code_version("models", "questions", "cohorts/simulate",
                                        "training/language.py", "training/asked_alone.py",
                                        "training/trainer.py"))
    return train_or_load(
        paths.checkpoints_dir(config.profile) / "language_model" / "tiny", key,
        lambda folder: language.pretrain_tiny(rows, written_reports(config, store), general,
                                              phrases(), config, folder))


def _named(llm: str, folder: Path) -> str:
    """An LLM that is not ours to train: a note of its name lies where the tiny one would."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "named.json").write_text(json.dumps({"name_or_path": llm}) + "\n")
    return llm


def phrases() -> list[str]:
    """Findings, answers and the labels of Table 4: each is one word to a cardiologist."""
    return [*load_findings()["name"], *all_answers(), *LABEL_TEXT.values()]


def reading_rows(config: Config, store: EcgStore, split: str = "train") -> pd.DataFrame:
    """Questions for reading practice: no confounding, so that reading teaches no shortcut.

    Comparisons of different patients are drawn among few of them, so that many questions share a
    pair of reports and are read at once.
    """
    templates = _templates(config)
    mixed = [t for t in templates if load_templates()[t].question_type.endswith("irrelevant-verify")
             or load_templates()[t].question_type.endswith("irrelevant-query")]
    records = store.records
    few = records.groupby("split", group_keys=False).head(READ_PAIRS_AMONG)
    sizes, seed = question_sizes(4 * config.questions.per_answer), config.seed + 1
    parts = [build_questions(part, sizes, 0.0, seed, chosen)[split]
             for part, chosen in ((records, sorted(set(templates) - set(mixed))), (few, mixed))
             if chosen]
    if split == "train":
        parts.append(label_rows(config, store, split, 4 * config.questions.per_answer))
        parts.append(placed_rows(pd.concat(parts), 2, seed))
    return pd.concat(parts, ignore_index=True)


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
                name = PLACES[rng.integers(len(PLACES))][k]
                text = _THIS_ECG.sub(f"the {name} ECG", row["question"])
                if text == row["question"]:
                    text = f"In the {name} ECG: {text}"
                placed.append({**row, "question": text, "ecg_id": list(pair),
                               "question_type": "comparison_irrelevant-verify"})
    return pd.DataFrame(placed, columns=rows.columns)

"""What the notebooks do step by step: each function reads what earlier ones wrote, and goes on.

This is the only room that knows where the artefacts of a profile lie; the rooms below it take
what they need as arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import torch
from IPython import get_ipython
from transformers import AutoTokenizer

from ecg_lib import encoders, paths
from ecg_lib.closure import code_hash
from ecg_lib.config import Cohort, Config
from ecg_lib.config_check import SCRATCH, SIMULATED
from ecg_lib.data import prepare, report_text
from ecg_lib.data.simulated.simulator_tables import fingerprint as simulator_version
from ecg_lib.data.store import EcgStore
from ecg_lib.encoders.token_cache import EcgTokens, encode_store, weights_hash
from ecg_lib.errors import DataError
from ecg_lib.knowledge.findings import transfer_findings
from ecg_lib.objectives import clip_reports, simulated_stream
from ecg_lib.objectives.clip_snippets import Start, train_pairs
from ecg_lib.objectives.findings_and_text import EcgReader
from ecg_lib.objectives.loading import load_clip as load_saved_clip
from ecg_lib.objectives.parts.clip import EcgClip
from ecg_lib.questions.build import build_questions
from ecg_lib.questions.draw import Sizes
from ecg_lib.questions.ecgqa import expected_counts, keep_known, read_ecg_ids, read_ecgqa
from ecg_lib.questions.schema import empty_rows, read_split, write_split
from ecg_lib.report.provenance import Provenance
from ecg_lib.training.cache import fingerprint, train_or_load

SPLITS = ("train", "valid", "dev", "test")
_DATA = ("profile", "label", "seed", "data", "signal")
SECTIONS = MappingProxyType(
    {  # parameters that results of a step depend on
        "data": _DATA,
        "encoder": (
            *_DATA,
            "encoder",
            "text_encoder",
            "contrastive",
            "simulated",
            "pairs",
            "evaluation",
        ),
        "simulated": (*_DATA, "encoder", "text_encoder", "contrastive", "simulated", "evaluation"),
        "starts": (
            *_DATA,
            "encoder",
            "text_encoder",
            "contrastive",
            "simulated",
            "pairs",
            "pretraining_study",
            "evaluation",
        ),
        "questions": (*_DATA, "questions", "evaluation"),
        "evaluation": (
            *_DATA,
            "questions",
            "encoder",
            "text_encoder",
            "contrastive",
            "llm",
            "lora",
            "stage1",
            "stage2",
            "evaluation",
        ),
        "comparison": (
            *_DATA,
            "questions",
            "encoder",
            "text_encoder",
            "contrastive",
            "llm",
            "lora",
            "stage1",
            "stage2",
            "fusion",
            "evaluation",
        ),
        "study": (
            *_DATA,
            "questions",
            "encoder",
            "text_encoder",
            "contrastive",
            "llm",
            "lora",
            "stage1",
            "stage2",
            "evaluation",
            "study",
        ),
    }
)


def start(config: Config) -> None:
    """Seeds, threads and pictures, once at the top of a notebook."""
    shell = get_ipython()
    if shell is not None:  # figures made without pyplot are shown only once the backend is there
        shell.run_line_magic("matplotlib", "inline")
    torch.manual_seed(config.seed)
    if config.threads:
        torch.set_num_threads(config.threads)


# -- cohorts ---------------------------------------------------------------------------------


def store_folder(config: Config, cohort: Cohort) -> Path:
    """Where a cohort's prepared store lies."""
    return paths.data_dir(config.profile) / "cohorts" / cohort.folder


def prepare_cohort(config: Config, cohort: Cohort) -> EcgStore:
    """Read a cohort's source into its store, or open the store that the same source wrote."""
    options: dict[str, Any] = {}
    root = None
    if cohort.source == prepare.SIMULATED:
        options = {
            "patients": cohort.patients,
            "noise": cohort.noise,
            "seed": config.seed + cohort.seed,
        }
    else:
        root = prepare.find_cohort(config.data.root, cohort.source)
        options = {"method": config.signal.resampler}
        if cohort.source == "ptbxl" and config.questions.ecgqa:
            options["ecgqa_root"] = prepare.find_cohort(config.data.root, "ecgqa")
    return prepare.prepare(
        cohort.source,
        root,
        store_folder(config, cohort),
        workers=config.data.workers,
        reuse=True,
        **options,
    )


def prepare_cohorts(config: Config) -> dict[str, EcgStore]:
    """All cohorts of a profile by title; cohorts of one title are prepared once."""
    cohorts = [config.data.pretraining, config.data.questions, *config.data.zero_shot]
    return {
        title: prepare_cohort(config, cohort)
        for title, cohort in {c.title: c for c in cohorts}.items()
    }


def open_store(config: Config, cohort: Cohort) -> EcgStore:
    """A prepared cohort, as notebook 01 left it."""
    return EcgStore.open(store_folder(config, cohort))


# -- encoder ---------------------------------------------------------------------------------


def pretrain_encoder(config: Config, store: EcgStore) -> Path:
    """Contrastive pretraining, or what the same inputs trained before; returns its folder."""
    folder = paths.checkpoints_dir(config.profile) / "encoder" / "clip"
    if config.contrastive.start == SIMULATED:  # of these readers, that of the first seed
        seed, normalisation = config.simulated.seeds[0], config.signal.normalisation
        train_readers(
            replace(
                config,
                simulated=replace(config.simulated, seeds=[seed], normalisations=[normalisation]),
            )
        )
        given = start_from(config, SIMULATED, normalisation, seed)
        rows = {
            split: np.flatnonzero(store.records["split"] == split) for split in ("train", "valid")
        }
        return train_further(
            config, store, rows["train"], folder, given, config.seed, normalisation, rows["valid"]
        )
    key = fingerprint(
        params=[
            config.seed,
            config.encoder,
            asdict(config.text_encoder),
            asdict(config.contrastive),
            config.signal.normalisation,
        ],
        data=store.hash,
        code=code_hash(clip_reports.pretrain, encoders.find(config.encoder["name"])),
    )
    return train_or_load(folder, key, lambda folder: clip_reports.pretrain(store, config, folder))


def start_from(config: Config, start: str, normalisation: str, seed: int) -> Start | None:
    """What training goes on with: the CLIP of a reader of simulated ECGs, or None, nothing."""
    if start == SCRATCH:
        return None
    return Start(
        *load_saved_clip(
            paths.checkpoints_dir(config.profile)
            / "simulated"
            / f"{normalisation}-{seed}"
            / "reader"
        )
    )


def train_further(
    config: Config,
    store: EcgStore,
    rows: Sequence[int],
    folder: Path,
    given: Start | None,
    seed: int,
    normalisation: str,
    valid: Sequence[int] = (),
) -> Path:
    """Contrast ECGs with runs of words of their reports, or load what has been trained so.

    Parameters
    ----------
    rows : of the store, to train on
    given : what training goes on with; None: an untrained CLIP
    valid : rows whose loss is written beside, and nothing else
    """
    own = {**asdict(config.pairs)}
    for name in ("epochs", "learning_rate"):  # what the other start reads does not count
        own.pop(name if given else f"{name}_further")
    sizes = (
        []
        if given
        else [
            config.encoder,
            asdict(config.text_encoder),
            {**asdict(config.contrastive), "start": None},
        ]
    )
    encoder = type(given.clip.ecg_encoder) if given else encoders.find(config.encoder["name"])
    key = fingerprint(
        params=[seed, normalisation, own, sizes],
        start=weights_hash(given.clip) if given else "",
        data=[store.hash, list(map(int, rows)), list(map(int, valid)), report_text.phrases()],
        code=code_hash(train_pairs, encoder),
    )
    return train_or_load(
        folder,
        key,
        partial(
            train_pairs,
            store,
            rows,
            config,
            seed=seed,
            normalisation=normalisation,
            start=given,
            valid=valid,
        ),
    )


def load_clip(config: Config) -> tuple[EcgClip, Any]:
    """The pretrained CLIP and its report tokenizer."""
    folder = paths.checkpoints_dir(config.profile) / "encoder" / "clip" / "clip"
    return EcgClip.from_pretrained(folder), AutoTokenizer.from_pretrained(str(folder))


def encode_cohort(config: Config, cohort: Cohort, clip: EcgClip) -> EcgTokens:
    """Tokens of every ECG of a cohort, encoded once."""
    folder = paths.checkpoints_dir(config.profile) / "features" / cohort.folder
    return encode_store(open_store(config, cohort), clip.ecg_encoder, folder)


def train_readers(config: Config) -> dict[str, list[EcgReader]]:
    """Encoders trained on fresh simulated ECGs alone, by normalisation, one a seed."""
    settings, readers = config.simulated, {}
    for normalisation in settings.normalisations:
        for seed in settings.seeds:
            key = fingerprint(
                params=[
                    seed,
                    normalisation,
                    config.encoder,
                    asdict(config.text_encoder),
                    {**asdict(config.contrastive), "start": None},
                    {**asdict(settings), "seeds": None, "normalisations": None},
                ],
                data=[simulator_version(), transfer_findings().to_csv()],
                code=code_hash(
                    simulated_stream.train_reader, encoders.find(config.encoder["name"])
                ),
            )
            folder = paths.checkpoints_dir(config.profile) / "simulated" / f"{normalisation}-{seed}"
            train_or_load(
                folder,
                key,
                partial(simulated_stream.train_reader, config, seed, normalisation=normalisation),
            )
            reader = EcgReader.from_pretrained(folder / "reader")
            readers.setdefault(normalisation, []).append(reader)
    return readers


# -- questions -------------------------------------------------------------------------------


def make_questions(config: Config, store: EcgStore) -> dict[str, pd.DataFrame]:
    """Question rows of all splits, built from labels and/or read from ECG-QA, written to disk."""
    settings, tables = config.questions, {}
    if settings.built:
        tables = built_questions(config, store)
    if settings.ecgqa:
        root = prepare.find_cohort(config.data.root, "ecgqa")
        for split in ("train", "valid", "test"):
            tables[split] = _join(tables.get(split), _ecgqa_rows(root, split, store))
    folder = paths.data_dir(config.profile) / "questions"
    for split, rows in tables.items():
        write_split(rows, folder, split)
    return tables


def built_questions(config: Config, store: EcgStore) -> dict[str, pd.DataFrame]:
    """Question rows of all splits, built from labels; nothing is written."""
    settings = config.questions
    few = question_sizes(settings.per_answer_test)
    sizes = {"train": question_sizes(settings.per_answer), "valid": few, "test": few}
    return build_questions(
        store.records, sizes, settings.confounding, config.seed, settings.templates or None
    )


def question_sizes(per_answer: int) -> Sizes:
    """How many rows of each question type are drawn where a yes/no question has `per_answer`."""

    def some(share: float) -> int:
        return max(1, round(per_answer * share))

    return Sizes(
        verify=per_answer,
        broad=6 * per_answer,
        choose=some(0.3),
        query=some(0.3),
        comparison_verify=some(0.25),
        comparison_query=some(0.25),
        min_positive=min(5, per_answer),
        query_rows=10 * per_answer,
    )


def _ecgqa_rows(root: Path, split: str, store: EcgStore) -> pd.DataFrame | None:
    try:
        rows = read_ecgqa(root, split=split)
    except DataError:
        if split == "train":
            raise
        return None  # a partial copy of ECG-QA may lack valid or test
    return keep_known(rows, set(store.records["ecg_id"]))[0]


def ecgqa_splits(config: Config) -> dict[str, str]:
    """ECGs that ECG-QA lists -> its split; empty where a profile does without ECG-QA."""
    if not config.questions.ecgqa:
        return {}
    root = prepare.find_cohort(config.data.root, "ecgqa")
    return {e: s for s in ("train", "valid", "test") for e in read_ecg_ids(root, "ptbxl", s)}


def ecgqa_counts(config: Config, store: EcgStore) -> pd.DataFrame:
    """ECG-QA's rows a split: in the release, at hand, and kept as their ECGs are in the store.

    Empty where a profile does without ECG-QA, or the split's rows are not at hand.
    """
    lines = {}
    for split in ("train", "valid", "test") if config.questions.ecgqa else ():
        try:
            rows = read_ecgqa(prepare.find_cohort(config.data.root, "ecgqa"), split=split)
        except DataError:
            continue
        known = keep_known(rows, set(store.records["ecg_id"]))[1]
        release = expected_counts(rows, "ptbxl", split)["expected"]
        lines[split] = {
            "in the release": release,
            "at hand": len(rows),
            "kept": known["kept"],
            "dropped": known["dropped"],
            "unknown ECGs": known["unknown_ecgs"],
        }
    return pd.DataFrame(lines).T


def _join(built: pd.DataFrame | None, real: pd.DataFrame | None) -> pd.DataFrame:
    """Two question sets as one; ids of the second are moved past those of the first."""
    parts = [part for part in (built, real) if part is not None and len(part)]
    if len(parts) == 2:
        second = parts[1].copy()
        for column in ("sample_id", "question_id"):
            second[column] += int(parts[0][column].max()) + 1
        parts[1] = second
    return pd.concat(parts, ignore_index=True) if parts else empty_rows()


def read_questions(config: Config, split: str) -> pd.DataFrame:
    """Question rows of a split, as notebook 03 left them."""
    return read_split(paths.data_dir(config.profile) / "questions", split)


def has_questions(config: Config, split: str) -> bool:
    """Whether a split has question rows: ECG-QA has no dev, and a part of it may lack valid."""
    folder = paths.data_dir(config.profile) / "questions"
    return (folder / f"{split}.parquet").is_file() and len(read_split(folder, split)) > 0


def sample_rows(rows: pd.DataFrame, n: int | None, seed: int) -> pd.DataFrame:
    """At most n rows with every question type kept in proportion, never the first n."""
    if not n or len(rows) <= n:
        return rows
    share = n / len(rows)
    parts = [
        group.sample(max(1, round(share * len(group))), random_state=seed)
        for _, group in rows.groupby("question_type")
    ]
    return pd.concat(parts).sort_index()


# -- results ---------------------------------------------------------------------------------


def provenance(config: Config, *stores: EcgStore, step: str = "evaluation") -> Provenance:
    """The stamp of result rows: parameters up to a step of `SECTIONS`, data, code.

    Where the data lie and how many processes read them is no part of it.
    """
    values: dict[str, Any] = config.as_dict()
    values["data"].pop("root"), values["data"].pop("workers")
    return Provenance.of(
        config.profile, values, [s.hash for s in stores], config.seed, SECTIONS[step]
    )


def test_rows(config: Config) -> pd.DataFrame:
    """The question rows that Tables 3 and 5 are computed on: the test split, or a sample of it."""
    return sample_rows(read_questions(config, "test"), config.evaluation.max_rows, config.seed)

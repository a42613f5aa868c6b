"""The pretraining study: which start is better for an encoder that learns from real reports.

Steps for notebook 10. Every training and every model's answers are kept
and found again by what they were made of; folds 9 and 10 of PTB-XL are tested on and nothing else.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np

from ecg_lib import paths
from ecg_lib.closure import code_hash
from ecg_lib.config import Config
from ecg_lib.config_check import SIMULATED_ONLY
from ecg_lib.data import report_text
from ecg_lib.data.store import EcgStore
from ecg_lib.encoders.token_cache import weights_hash
from ecg_lib.evaluation import few_labels, study_answers
from ecg_lib.evaluation.linear_probe import LABELS, disjoint_rows, hand_features, probe_targets
from ecg_lib.evaluation.study_answers import Answers, Split
from ecg_lib.experiments.encoder_pretraining import start_from, teach
from ecg_lib.experiments.experiment import Experiment
from ecg_lib.experiments.pretraining_tables import Models
from ecg_lib.objectives.loading import load_clip
from ecg_lib.objectives.objective import Given
from ecg_lib.objectives.parts.clip import PretrainedClip
from ecg_lib.training.cache import fingerprint, train_or_load

_ANSWERS = "answers.npz"


def study_split(config: Config, store: EcgStore) -> Split:
    """Who is trained and probed on, who is tested on; at most `pretraining_study.ecgs` of each."""
    most, (train, test) = config.pretraining_study.ecgs, disjoint_rows(store, store)
    targets = {labels: probe_targets(store.records, labels) for labels in LABELS}
    return Split(train[:most], test[:most], targets, store.records["patient_id"].to_numpy())


def pretrain(
    config: Config, store: EcgStore, split: Split, start: str, normalisation: str, seed: int
) -> PretrainedClip:
    """One encoder of the study, trained or loaded."""
    clip = start_from(Experiment.of(config), start, normalisation, seed)
    if start == SIMULATED_ONLY:
        return clip
    study = config.pretraining_study
    section = {**study.objective, **(study.further if clip else {})}
    given = Given(seed, config.text_encoder, store, split.train, start=clip)
    folder = _folder(config, "starts") / f"{start}-{normalisation}-{seed}"
    return PretrainedClip(*load_clip(teach(config, section, normalisation, given, folder)))


def compare_starts(config: Config, store: EcgStore) -> tuple[Models, Answers, Split]:
    """Answers of every encoder by start and normalisation, of boosting, and who was tested on.

    The encoders of `train_readers` must have been trained, unless all start from scratch.
    """
    study, split = config.pretraining_study, study_split(config, store)
    # a declared output of notebook 10, whether or not the profile has a study
    _folder(config, "starts").mkdir(parents=True, exist_ok=True)
    if not study.seeds:
        return {}, {}, split
    models: dict[tuple[str, str], list[Answers]] = {}
    for start in study.starts:
        for normalisation in study.normalisations:
            for seed in study.seeds:
                trained = pretrain(config, store, split, start, normalisation, seed)
                name = f"{start.replace(' ', '-')}-{normalisation}-{seed}"
                answers = _kept(
                    config,
                    f"{name}-answers",
                    store,
                    split,
                    partial(_encoder_answers, store, split, trained, config),
                    code=code_hash(
                        study_answers.encoder_answers,
                        few_labels.clip_features,
                        type(trained.clip.ecg_encoder),
                    ),
                    model=weights_hash(trained.clip),
                    prompts=[few_labels.prompts(labels) for labels in LABELS],
                )
                models.setdefault((start, normalisation), []).append(answers)
    boosting = _kept(
        config,
        "boosting-answers",
        store,
        split,
        partial(_boosting_answers, store, split, config),
        code=code_hash(study_answers.boosting_answers, hand_features),
    )
    return models, boosting, split


def _encoder_answers(
    store: EcgStore, split: Split, trained: PretrainedClip, config: Config
) -> Answers:
    parts = (
        few_labels.clip_features(store, rows, trained.clip) for rows in (split.train, split.test)
    )
    return study_answers.encoder_answers(
        *parts, trained.clip, trained.tokenizer, split, config.pretraining_study
    )


def _boosting_answers(store: EcgStore, split: Split, config: Config) -> Answers:
    rows = np.concatenate([split.train, split.test])
    measured = hand_features(
        EcgStore(store.folder, store.manifest, store.records.iloc[rows], store.signals[rows])
    )
    features = np.full((len(store), measured.shape[1]), np.nan)
    features[rows] = measured
    return study_answers.boosting_answers(features, split, config.pretraining_study)


def _kept(config: Config, name: str, store: EcgStore, split: Split, answer, **made_of) -> Answers:
    """Answers, computed or found again; "labels|column" are their names in the file."""
    trained = {"seeds": [], "normalisations": [], "starts": [], "objective": {}, "further": {}}
    study = replace(config.pretraining_study, **trained)  # by what, their weights tell
    key = fingerprint(
        **made_of,
        params=asdict(study),
        data=store.hash,
        rows=[split.train.tolist(), split.test.tolist()],
    )

    def save(folder: Path) -> None:
        np.savez(folder / _ANSWERS, **{"|".join(cell): found for cell, found in answer().items()})

    folder = train_or_load(_folder(config, "starts") / name, key, save, say=None)
    with np.load(folder / _ANSWERS) as kept:
        return {tuple(cell.split("|")): kept[cell] for cell in kept.files}


def _folder(config: Config, step: str) -> Path:
    return paths.checkpoints_dir(config.profile) / step


def report_counts(store: EcgStore) -> dict[str, int]:
    """What was done to the reports: how many stated labels, how many say nothing without them."""
    reports = store.records["report"]
    plain = reports.map(report_text.plain_text)
    return {
        "reports": len(reports),
        "with labels written behind": int(reports.map(report_text.states_labels).sum()),
        "that say nothing once these and machine remarks are gone": int((plain == "").sum()),
        "distinct before": reports.nunique(),
        "distinct after": plain.nunique(),
    }

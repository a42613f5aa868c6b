"""The pretraining study: which start is better for an encoder that learns from real reports.

Every training and every model's answers are kept and found again by what they were made of; folds
9 and 10 of PTB-XL are tested on and nothing else.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_lib.closure import code_hash
from ecg_lib.config import Config
from ecg_lib.config_check import SIMULATED_ONLY
from ecg_lib.data import report_text
from ecg_lib.data.store import EcgStore
from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.encoders.token_cache import weights_hash
from ecg_lib.evaluation import study_answers
from ecg_lib.evaluation.hand_features import hand_features
from ecg_lib.evaluation.probe import encoder_features
from ecg_lib.evaluation.study_answers import (
    PROBE,
    SUPERCLASSES,
    TASKS,
    Answers,
    Split,
    column,
    labelled_rows,
)
from ecg_lib.experiments import controls
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
    most, (train, test) = config.pretraining_study.ecgs, TASKS[SUPERCLASSES].rows(store, store)
    targets = {name: task.targets(store.records) for name, task in TASKS.items()}
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
    folder = Experiment.of(config).checkpoints("starts", f"{start}-{normalisation}-{seed}")
    return PretrainedClip(*load_clip(teach(config, section, normalisation, given, folder)))


def compare_starts(config: Config, store: EcgStore) -> tuple[Models, Answers, Split]:
    """Answers of every encoder by start and normalisation, of boosting, and who was tested on.

    Behind the starts stand their controls (`controls`): a random frozen encoder for each seed, and
    one that is trained from scratch on labels alone, for the first seed.
    The encoders of `train_readers` must have been trained, unless all start from scratch.
    """
    study, split = config.pretraining_study, study_split(config, store)
    models: dict[tuple[str, str], list[Answers]] = {}
    like: dict[str, EcgEncoder] = {}
    for start in study.starts:
        for normalisation in study.normalisations:
            for seed in study.seeds:
                trained = pretrain(config, store, split, start, normalisation, seed)
                answers = _kept(
                    config,
                    _name(start, normalisation, seed),
                    store,
                    split,
                    partial(_encoder_answers, store, split, trained, config),
                    code=_answering(trained.clip.ecg_encoder),
                    model=weights_hash(trained.clip),
                )
                models.setdefault((start, normalisation), []).append(answers)
                like[normalisation] = trained.clip.ecg_encoder
    for normalisation, encoder in like.items():
        models |= _controls(config, store, split, normalisation, encoder)
    boosting = _kept(
        config,
        "boosting",
        store,
        split,
        partial(_boosting_answers, store, split, config),
        code=code_hash(study_answers.boosting_answers),
    )
    return models, boosting, split


def _controls(
    config: Config, store: EcgStore, split: Split, normalisation: str, like: EcgEncoder
) -> dict[tuple[str, str], list[Answers]]:
    """Answers of the two controls of encoders `like` this one, in one normalisation."""
    random = []
    for seed in config.pretraining_study.seeds:
        encoder = controls.untrained(like, seed)
        name = _name(controls.RANDOM, normalisation, seed)
        answer = partial(_frozen_answers, store, split, encoder, config)
        made_of = {"model": [weights_hash(encoder), normalisation], "code": _answering(encoder)}
        random.append(_kept(config, name, store, split, answer, **made_of))
    seed = config.pretraining_study.seeds[0]
    scratch = _kept(
        config,
        _name(controls.LABELS_ONLY, normalisation, seed),
        store,
        split,
        partial(_scratch_answers, store, split, like, config, seed),
        model=[seed, like.config.to_dict(), config.evaluation.probe_epochs],
        code=code_hash(study_answers.labelled_rows, controls.scratch_scores, type(like)),
    )
    return {
        (controls.RANDOM, normalisation): random,
        (controls.LABELS_ONLY, normalisation): [scratch],
    }


def _answering(encoder: EcgEncoder) -> str:
    """Hash of the code that answers by an encoder, its own file included."""
    return code_hash(study_answers.encoder_answers, encoder_features, type(encoder))


def _name(start: str, normalisation: str, seed: int) -> str:
    return f"{start.replace(' ', '-')}-{normalisation}-{seed}"


def _frozen_answers(
    store: EcgStore, split: Split, encoder: EcgEncoder, config: Config, folder: Path, **texts
) -> Answers:
    parts = (encoder_features(store, encoder, rows) for rows in (split.train, split.test))
    return study_answers.encoder_answers(*parts, split, config.pretraining_study, **texts)


def _encoder_answers(
    store: EcgStore, split: Split, trained: PretrainedClip, config: Config, folder: Path
) -> Answers:
    texts = {"clip": trained.clip, "tokenizer": trained.tokenizer}
    return _frozen_answers(store, split, trained.clip.ecg_encoder, config, folder, **texts)


def _scratch_answers(
    store: EcgStore, split: Split, like: EcgEncoder, config: Config, seed: int, folder: Path
) -> Answers:
    """One training per draw of labels, on those of both tasks at once."""
    truth = pd.concat({name: split.truth(name, "train") for name in TASKS}, axis=1)
    answers: Answers = {}
    for fraction, drawn in labelled_rows(split, config.pretraining_study).items():
        each = [
            controls.scratch_scores(
                like,
                store,
                store,
                split.train,
                split.test,
                truth,
                rows,
                epochs=config.evaluation.probe_epochs,
                seed=seed,
                folder=folder / f"{fraction}-{draw}",
            )
            for draw, rows in enumerate(drawn)
        ]
        answers |= {
            (name, column(PROBE, fraction)): np.stack([one[name].to_numpy() for one in each])
            for name in TASKS
        }
    return answers


def _boosting_answers(store: EcgStore, split: Split, config: Config, folder: Path) -> Answers:
    parts = (hand_features(store, rows) for rows in (split.train, split.test))
    return study_answers.boosting_answers(*parts, split, config.pretraining_study)


def _kept(config: Config, name: str, store: EcgStore, split: Split, answer, **made_of) -> Answers:
    """Answers, computed or found again; "task|column" are their names in the file."""
    trained = {"seeds": [], "normalisations": [], "starts": [], "objective": {}, "further": {}}
    study = replace(config.pretraining_study, **trained)  # by what, their weights tell
    key = fingerprint(
        **made_of,
        params=asdict(study),
        data=store.hash,
        tasks=[task.hash for task in TASKS.values()],
        rows=[split.train.tolist(), split.test.tolist()],
    )

    def save(folder: Path) -> None:
        found = answer(folder=folder)
        np.savez(folder / _ANSWERS, **{"|".join(cell): own for cell, own in found.items()})

    place = Experiment.of(config).checkpoints("starts", f"{name}-answers")
    folder = train_or_load(place, key, save, say=None)
    with np.load(folder / _ANSWERS) as kept:
        return {tuple(cell.split("|")): kept[cell] for cell in kept.files}


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

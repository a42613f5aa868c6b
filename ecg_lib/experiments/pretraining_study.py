"""The pretraining study: which start is better for an encoder trained on real reports.

Every training run and every model's answers are cached by fingerprint. Folds 9 and 10 of PTB-XL are
used only as the test set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

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
from ecg_lib.objectives.parts.clip import EcgClip, PretrainedClip
from ecg_lib.training.cache import fingerprint, train_or_load

_ANSWERS = "answers.npz"


@dataclass(frozen=True, eq=False)
class Study:
    """The study of a profile on one store, and the split of that store."""

    config: Config
    store: EcgStore
    split: Split

    @classmethod
    def of(cls, config: Config, store: EcgStore) -> Study:
        """Split the store, with at most `pretraining_study.ecgs` ECGs to train and to test on."""
        most, (train, test) = config.pretraining_study.ecgs, TASKS[SUPERCLASSES].rows(store, store)
        targets = {name: task.targets(store.records) for name, task in TASKS.items()}
        patients = store.records["patient_id"].to_numpy()
        return cls(config, store, Split(train[:most], test[:most], targets, patients))

    def pretrain(self, start: str, normalisation: str, seed: int) -> PretrainedClip:
        """Train or load one encoder."""
        config, study = self.config, self.config.pretraining_study
        clip = start_from(Experiment.of(config), start, normalisation, seed)
        if start == SIMULATED_ONLY:
            assert clip is not None  # only `SCRATCH` has nothing to start from
            return clip
        section = {**study.objective, **(study.further if clip else {})}
        given = Given(seed, config.text_encoder, self.store, self.split.train, start=clip)
        folder = Experiment.of(config).checkpoints("starts", _name(start, normalisation, seed))
        return PretrainedClip(*load_clip(teach(config, section, normalisation, given, folder)))

    def kept(self, name: str, answer: Callable[[Path], Answers], **made_of) -> Answers:
        """Compute or load answers; the file names their arrays "task|column"."""
        study = replace(  # model weights stand for these
            self.config.pretraining_study,
            seeds=[],
            normalisations=[],
            starts=[],
            objective={},
            further={},
        )
        key = fingerprint(
            **made_of,
            params=asdict(study),
            data=self.store.hash,
            tasks=[task.hash for task in TASKS.values()],
            rows=[self.split.train.tolist(), self.split.test.tolist()],
        )

        def save(folder: Path) -> None:
            arrays: dict[str, Any] = {"|".join(cell): own for cell, own in answer(folder).items()}
            np.savez(folder / _ANSWERS, **arrays)

        place = Experiment.of(self.config).checkpoints("starts", f"{name}-answers")
        folder = train_or_load(place, key, save, say=None)
        with np.load(folder / _ANSWERS) as kept:
            return {tuple(cell.split("|")): kept[cell] for cell in kept.files}

    # Each of the next three gives the answers of one model; only `scratch` uses the folder.

    def frozen(
        self, encoder: EcgEncoder, clip: EcgClip | None, tokenizer: Any, folder: Path
    ) -> Answers:
        """Return the answers of a frozen encoder."""
        train, test = self.parts(partial(encoder_features, self.store, encoder))
        study = self.config.pretraining_study
        return study_answers.encoder_answers(train, test, self.split, study, clip, tokenizer)

    def boosting(self, folder: Path) -> Answers:
        """Return the answers of gradient boosting on hand-made features."""
        train, test = self.parts(partial(hand_features, self.store))
        study = self.config.pretraining_study
        return study_answers.boosting_answers(train, test, self.split, study)

    def scratch(self, like: EcgEncoder, seed: int, folder: Path) -> Answers:
        """Train an encoder from scratch per draw of labels, on both tasks at once."""
        split, epochs = self.split, self.config.evaluation.probe_epochs
        truth = pd.concat({name: split.truth(name, "train") for name in TASKS}, axis=1)
        data = like, self.store, self.store, split.train, split.test, truth
        answers: Answers = {}
        for fraction, drawn in labelled_rows(split, self.config.pretraining_study).items():
            each = [
                controls.scratch_scores(
                    *data, rows, epochs=epochs, seed=seed, folder=folder / f"{fraction}-{draw}"
                )
                for draw, rows in enumerate(drawn)
            ]
            for name in TASKS:
                scores = np.stack([one[name].to_numpy() for one in each])
                answers[name, column(PROBE, fraction)] = scores
        return answers

    def parts(self, features: Callable[[np.ndarray], np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the features of the training ECGs, then of the test ECGs."""
        return map(features, (self.split.train, self.split.test))


def compare_starts(config: Config, store: EcgStore) -> tuple[Models, Answers, Split]:
    """Return the answers of every encoder by start and normalisation, of boosting, and the split.

    The starts are followed by their controls (`controls`): a random frozen encoder for each seed,
    and an encoder trained from scratch on labels alone for the first seed. The encoders of
    `train_readers` must have been trained, unless all start from scratch.
    """
    study, of = Study.of(config, store), config.pretraining_study
    models: dict[tuple[str, str], list[Answers]] = {}
    like: dict[str, EcgEncoder] = {}
    for start, normalisation, seed in product(of.starts, of.normalisations, of.seeds):
        clip, tokenizer = study.pretrain(start, normalisation, seed)
        encoder = like[normalisation] = clip.ecg_encoder
        answer = partial(study.frozen, encoder, clip, tokenizer)
        made_of = {"code": _answering(encoder), "model": weights_hash(clip)}
        answers = study.kept(_name(start, normalisation, seed), answer, **made_of)
        models.setdefault((start, normalisation), []).append(answers)
    for normalisation, encoder in like.items():
        models |= _controls(study, normalisation, encoder)
    code = code_hash(study_answers.boosting_answers)
    return models, study.kept("boosting", study.boosting, code=code), study.split


def _controls(
    study: Study, normalisation: str, like: EcgEncoder
) -> dict[tuple[str, str], list[Answers]]:
    """Return the answers of both controls with the architecture of `like`, for a normalisation."""
    random, seeds = [], study.config.pretraining_study.seeds
    for seed in seeds:
        encoder = controls.untrained(like, seed)
        made_of = {"model": [weights_hash(encoder), normalisation], "code": _answering(encoder)}
        answer = partial(study.frozen, encoder, None, None)
        random.append(study.kept(_name(controls.RANDOM, normalisation, seed), answer, **made_of))
    scratch = study.kept(
        _name(controls.LABELS_ONLY, normalisation, seeds[0]),
        partial(study.scratch, like, seeds[0]),
        model=[seeds[0], like.config.to_dict(), study.config.evaluation.probe_epochs],
        code=code_hash(study_answers.labelled_rows, controls.scratch_scores, type(like)),
    )
    return {
        (controls.RANDOM, normalisation): random,
        (controls.LABELS_ONLY, normalisation): [scratch],
    }


def _answering(encoder: EcgEncoder) -> str:
    """Return the hash of the code that computes an encoder's answers, including its own file."""
    return code_hash(study_answers.encoder_answers, encoder_features, type(encoder))


def _name(start: str, normalisation: str, seed: int) -> str:
    return f"{start.replace(' ', '-')}-{normalisation}-{seed}"


def report_counts(store: EcgStore) -> dict[str, int]:
    """Count the reports that stated labels, and those that are empty once these are removed."""
    reports = store.records["report"]
    plain = reports.map(report_text.plain_text)
    return {
        "reports": len(reports),
        "with labels written behind": int(reports.map(report_text.states_labels).sum()),
        "that say nothing once these and machine remarks are gone": int((plain == "").sum()),
        "distinct before": reports.nunique(),
        "distinct after": plain.nunique(),
    }

"""The models of MERL, K-MERL and their controls: trained, and asked with fewer and fewer leads.

Models are kept by fingerprint in `checkpoints/<profile>/kmerl`, answers in `kmerl_answers`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from ecg_lib.closure import code_hash
from ecg_lib.config_studies import LeadArm
from ecg_lib.data.store import EcgStore
from ecg_lib.encoders.token_cache import weights_hash
from ecg_lib.evaluation.absent_leads import DROPPED, FORMS, MEAN
from ecg_lib.evaluation.lead_scores import lead_scores
from ecg_lib.evaluation.task import Task, load_task
from ecg_lib.experiments.encoder_pretraining import teach
from ecg_lib.experiments.experiment import Experiment
from ecg_lib.knowledge.findings import name_of
from ecg_lib.objectives.loading import load_clip
from ecg_lib.objectives.objective import Given
from ecg_lib.objectives.parts.clip import EcgClip
from ecg_lib.signal.lead_sets import lead_set
from ecg_lib.training.cache import fingerprint, train_or_load

_SCORES = "scores.npz"
_FEW = 2000  # ECGs from which the mean of each lead is taken
Shown = tuple[str, str, str]  # way of scoring, form of absent leads, set of leads


@dataclass(frozen=True)
class Asked:
    """What every model answered about one cohort.

    `scores[arm][seed][way, form, set]` is an (N, labels) array; `targets` are the labels.
    """

    title: str
    store: EcgStore
    targets: pd.DataFrame
    scores: Mapping[str, Mapping[int, Mapping[Shown, np.ndarray]]]


def train_arm(run: Experiment, key: str, seed: int) -> Path:
    """Pretrain one arm on the profile's pretraining cohort, or load it; return its folder."""
    arm: LeadArm = run.config.kmerl.arms[key]
    own = replace(run.config, encoder=arm.encoder, objective=arm.objective)
    store = run.open_store(own.data.pretraining)
    train, valid = (np.flatnonzero(store.records["split"] == name) for name in ("train", "valid"))
    given = Given(seed, own.text_encoder, store, train, valid)
    folder = run.checkpoints("kmerl", key, f"seed-{seed}")
    normalisation = arm.normalisation or own.signal.normalisation
    return teach(own, own.objective, normalisation, given, folder)


def train_arms(run: Experiment) -> dict[str, list[Path]]:
    """Pretrain every arm with every seed; return their folders by arm."""
    of = run.config.kmerl
    return {key: [train_arm(run, key, seed) for seed in of.seeds] for key in of.arms}


def task_of(run: Experiment) -> Task:
    """Return the evaluation set that the arms are asked."""
    return load_task(f"{run.config.kmerl.task}.yaml")


def shown_sets(run: Experiment) -> list[tuple[str, str]]:
    """Return what each model is shown: pairs of a form of absent leads and a set of leads."""
    of = run.config.kmerl
    dropped = [(DROPPED, name) for name in dict.fromkeys([*of.lead_sets, *of.fill_sets])]
    filled = [(form, name) for form in FORMS for name in of.fill_sets if form != DROPPED]
    return dropped + filled


def ask_arms(run: Experiment, stores: Mapping[str, EcgStore]) -> list[Asked]:
    """Ask every model about every cohort, with every set of leads; answers are kept.

    Parameters
    ----------
    stores : mapping of str to EcgStore
        Cohorts by title.
    """
    of, found = run.config.kmerl, []
    todo = [(title, key, seed) for title in stores for key in of.arms for seed in of.seeds]
    scores: dict[str, dict[str, dict[int, dict[Shown, np.ndarray]]]] = {}
    for title, key, seed in tqdm(todo, desc="lead sets"):
        own = _answers(run, key, seed, title, stores[title])
        scores.setdefault(title, {}).setdefault(key, {})[seed] = own
    for title, store in stores.items():
        targets = task_of(run).targets(store.records)
        found.append(Asked(title, store, targets, scores[title]))
    return found


def _answers(
    run: Experiment, key: str, seed: int, title: str, store: EcgStore
) -> dict[Shown, np.ndarray]:
    clip, tokenizer = load_clip(train_arm(run, key, seed))
    task, shown = task_of(run), shown_sets(run)
    made_of = fingerprint(
        model=weights_hash(clip),
        data=store.hash,
        task=task.hash,
        shown=[[form, name, lead_set(name)] for form, name in shown],
        code=code_hash(lead_scores, type(clip), type(clip.ecg_encoder)),
    )

    def answer(folder: Path) -> None:
        means = lead_means(run)
        arrays = {
            "|".join((way, form, name)): table.to_numpy(np.float32)
            for form, name in tqdm(shown, desc=f"{key}, seed {seed}", leave=False)
            for way, table in _scored(clip, tokenizer, store, task, form, name, means).items()
        }
        np.savez(folder / _SCORES, **arrays)

    cohort = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    place = run.checkpoints("kmerl_answers", key, f"seed-{seed}", cohort)
    folder = train_or_load(place, made_of, answer, say=None)
    with np.load(folder / _SCORES) as kept:
        return {tuple(name.split("|")): kept[name] for name in kept.files}  # type: ignore[misc]


def _scored(
    clip: EcgClip,
    tokenizer: Any,
    store: EcgStore,
    task: Task,
    form: str,
    name: str,
    means: np.ndarray,
) -> dict[str, pd.DataFrame]:
    given = means if form == MEAN else None
    names = {
        label: [*own.prompts, *(name_of(code) for code in own.codes)]
        for label, own in task.labels.items()
    }
    return lead_scores(clip, tokenizer, store, task.prompts, lead_set(name), form, given, names)


def lead_means(run: Experiment) -> np.ndarray:
    """Return the mean of each lead over training ECGs, (12, 1) float32, mV."""
    store = run.open_store(run.config.data.pretraining)
    rows = np.flatnonzero(store.records["split"] == "train")[:_FEW]
    return store.mv(rows).mean(axis=(0, 2), keepdims=True)[0]


def parameters_of(folders: Mapping[str, Sequence[Path]]) -> dict[str, int]:
    """Count the weights of each arm's ECG encoder."""
    each = {key: load_clip(own[0])[0].ecg_encoder for key, own in folders.items()}
    return {key: sum(p.numel() for p in encoder.parameters()) for key, encoder in each.items()}

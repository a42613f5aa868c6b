"""Pretrain the ECG encoders of the profile and its study, or load them (notebooks 02 and 10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ecg_lib import encoders
from ecg_lib.config import Config
from ecg_lib.config_check import SCRATCH, SIMULATED
from ecg_lib.data.store import EcgStore
from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.encoders.text_names import find_text_encoder
from ecg_lib.encoders.token_cache import weights_hash
from ecg_lib.experiments.experiment import Experiment
from ecg_lib.objectives import objective
from ecg_lib.objectives.findings_and_text import FindingsAndText
from ecg_lib.objectives.loading import load_clip
from ecg_lib.objectives.objective import Given
from ecg_lib.objectives.parts.clip import PretrainedClip
from ecg_lib.training.cache import key_of, train_or_load


def pretrain_encoder(run: Experiment, store: EcgStore) -> Path:
    """Pretrain the profile's encoder, or load it if the inputs are unchanged; return its folder."""
    config, start = run.config, None
    normalisation = config.signal.normalisation
    if config.start == SIMULATED:  # start from the first seed's encoder of simulated ECGs
        seeds = config.simulated.seeds[:1]
        first = replace(config.simulated, seeds=seeds, normalisations=[normalisation])
        train_readers(replace(run, config=replace(config, simulated=first)))
        start = start_from(run, SIMULATED, normalisation, *seeds)
    train, valid = (np.flatnonzero(store.records["split"] == s) for s in ("train", "valid"))
    given = Given(config.seed, config.text_encoder, store, train, valid, start)
    return teach(config, config.objective, normalisation, given, run.checkpoints("encoder", "clip"))


def train_readers(run: Experiment) -> dict[str, list[FindingsAndText]]:
    """Train encoders on fresh simulated ECGs alone, one per seed; return them by normalisation."""
    config = run.config
    readers: dict[str, list[FindingsAndText]] = {}
    for normalisation in config.simulated.normalisations:
        for seed in config.simulated.seeds:
            folder = run.checkpoints("simulated", f"{normalisation}-{seed}")
            given = Given(seed, config.text_encoder)
            teach(config, config.simulated.objective, normalisation, given, folder)
            readers.setdefault(normalisation, []).append(FindingsAndText.from_pretrained(folder))
    return readers


def start_from(run: Experiment, start: str, normalisation: str, seed: int) -> PretrainedClip | None:
    """Return the CLIP model of an encoder of simulated ECGs to start from; None from scratch."""
    if start == SCRATCH:
        return None
    return PretrainedClip(*load_clip(run.checkpoints("simulated", f"{normalisation}-{seed}")))


def teach(
    config: Config, section: Mapping[str, Any], normalisation: str, given: Given, folder: Path
) -> Path:
    """Pretrain an encoder with an objective, or load it if the inputs are unchanged.

    Parameters
    ----------
    section : mapping
        Section of the configuration with the objective's name and settings.
    """
    name, settings = section["name"], objective.settings(section)
    if named := given.text.name_or_path:
        given = replace(given, text=replace(given.text, name_or_path=find_text_encoder(named)))
    build, kind = encoder_builder(config, normalisation), objective.find(name).Objective
    encoder = type(given.start.clip.ecg_encoder) if given.start else build.func
    reads: list[Path] = getattr(settings, "reads", list)()  # files besides the store, if any
    untrained = None if given.start else [config.encoder, config.text_encoder.as_dict()]
    key = key_of(
        objective.pretrain,
        kind,
        encoder,
        params=[given.seed, normalisation, name, asdict(settings), untrained],
        text=[config.text_encoder.max_tokens, config.text_encoder.trainable],
        start=weights_hash(given.start.clip) if given.start else "",
        data=given.store.hash if given.store else "",
        rows=[list(map(int, rows)) for rows in (given.train, given.valid)],
        **({"reads": [sha256(file.read_bytes()).hexdigest() for file in reads]} if reads else {}),
    )
    return train_or_load(folder, key, partial(objective.pretrain, name, build, settings, given))


def encoder_builder(config: Config, normalisation: str) -> partial[EcgEncoder]:
    """Return a function that makes an untrained encoder of the profile's sizes."""
    name, reads = config.encoder["name"], config.ecg_input(normalisation)
    return partial(encoders.find(name), encoders.configure(name, config.encoder, reads))

"""Pretrain the profile's ECG encoder and those of the study, or load them (notebooks 02, 10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np

from ecg_lib.closure import code_hash
from ecg_lib.config_check import SCRATCH, SIMULATED
from ecg_lib.data import report_text
from ecg_lib.data.simulated.simulator_tables import fingerprint as simulator_version
from ecg_lib.data.store import EcgStore
from ecg_lib.encoders.token_cache import weights_hash
from ecg_lib.experiments.experiment import Experiment
from ecg_lib.knowledge.findings import transfer_findings
from ecg_lib.objectives import clip_reports, simulated_stream
from ecg_lib.objectives.clip_snippets import Start, train_pairs
from ecg_lib.objectives.findings_and_text import EcgReader
from ecg_lib.objectives.loading import load_clip as load_saved_clip
from ecg_lib.training.cache import fingerprint, train_or_load


def pretrain_encoder(run: Experiment, store: EcgStore) -> Path:
    """Contrastive pretraining, or what the same inputs trained before; returns its folder."""
    config, folder = run.config, run.checkpoints("encoder", "clip")
    if config.contrastive.start == SIMULATED:  # of these readers, that of the first seed
        seed, normalisation = config.simulated.seeds[0], config.signal.normalisation
        only = replace(config.simulated, seeds=[seed], normalisations=[normalisation])
        train_readers(replace(run, config=replace(config, simulated=only)))
        given = start_from(run, SIMULATED, normalisation, seed)
        rows = {
            split: np.flatnonzero(store.records["split"] == split) for split in ("train", "valid")
        }
        return train_further(
            run, store, rows["train"], folder, given, config.seed, normalisation, rows["valid"]
        )
    key = fingerprint(
        params=[
            config.seed,
            asdict(config.encoder),
            asdict(config.text_encoder),
            asdict(config.contrastive),
            config.signal.normalisation,
        ],
        data=store.hash,
        code=code_hash(clip_reports.pretrain),
    )
    return train_or_load(folder, key, lambda folder: clip_reports.pretrain(store, config, folder))


def start_from(run: Experiment, start: str, normalisation: str, seed: int) -> Start | None:
    """What training goes on with: the CLIP of a reader of simulated ECGs, or None, nothing."""
    if start == SCRATCH:
        return None
    return Start(
        *load_saved_clip(run.checkpoints("simulated", f"{normalisation}-{seed}", "reader"))
    )


def train_further(
    run: Experiment,
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
    config = run.config
    own = {**asdict(config.pairs)}
    for name in ("epochs", "learning_rate"):  # what the other start reads does not count
        own.pop(name if given else f"{name}_further")
    sizes = (
        []
        if given
        else [
            asdict(config.encoder),
            asdict(config.text_encoder),
            {**asdict(config.contrastive), "start": None},
        ]
    )
    key = fingerprint(
        params=[seed, normalisation, own, sizes],
        start=weights_hash(given.clip) if given else "",
        data=[store.hash, list(map(int, rows)), list(map(int, valid)), report_text.phrases()],
        code=code_hash(train_pairs),
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


def train_readers(run: Experiment) -> dict[str, list[EcgReader]]:
    """Encoders trained on fresh simulated ECGs alone, by normalisation, one a seed."""
    config, readers = run.config, {}
    settings = config.simulated
    for normalisation in settings.normalisations:
        for seed in settings.seeds:
            key = fingerprint(
                params=[
                    seed,
                    normalisation,
                    asdict(config.encoder),
                    asdict(config.text_encoder),
                    {**asdict(config.contrastive), "start": None},
                    {**asdict(settings), "seeds": None, "normalisations": None},
                ],
                data=[simulator_version(), transfer_findings().to_csv()],
                code=code_hash(simulated_stream.train_reader),
            )
            folder = run.checkpoints("simulated", f"{normalisation}-{seed}")
            train_or_load(
                folder,
                key,
                partial(simulated_stream.train_reader, config, seed, normalisation=normalisation),
            )
            reader = EcgReader.from_pretrained(folder / "reader")
            readers.setdefault(normalisation, []).append(reader)
    return readers

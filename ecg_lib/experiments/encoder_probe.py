"""The table `probe`: a linear probe of the profile's encoder, beside its controls."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_lib.data.store import EcgStore
from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.encoders.token_cache import EcgTokens
from ecg_lib.evaluation.probe import cached_features, encoder_features, label_cells, linear, part_of
from ecg_lib.evaluation.task import load_task
from ecg_lib.experiments.controls import LABELS_ONLY, RANDOM, scratch_scores, untrained
from ecg_lib.experiments.experiment import Experiment
from ecg_lib.training.cache import key_of, train_or_load

PRETRAINED = "pretrained encoder"
_SCORES = "scores.npy"


def probe_cells(
    run: Experiment, store: EcgStore, encoder: EcgEncoder, tokens: EcgTokens
) -> pd.DataFrame:
    """Return the cells of `probe.csv`: AUC (percent) of each label and their mean, by encoder.

    Rows are the pretrained encoder, a random one and one trained from scratch (`controls`), and the
    differences between the first and the others, paired by ECG. At most `evaluation.probe_ecgs`
    ECGs each, drawn once, are used to train and to test. Intervals are over test patients; controls
    are averaged over `evaluation.probe_seeds`.

    Parameters
    ----------
    store : EcgStore
        The cohort that `tokens` were encoded from.
    encoder : EcgEncoder
        The pretrained encoder.
    """
    settings, seed = run.config.evaluation, run.config.seed
    task = load_task(f"{settings.probe_task}.yaml")
    train, test = (_some(rows, settings.probe_ecgs, seed) for rows in task.rows(store, store))
    known, asked = (part_of(store, rows, rows, task) for rows in (train, test))
    ids, everyone = store.records["ecg_id"], np.arange(len(train))

    def kept(rows: np.ndarray) -> np.ndarray:
        return cached_features(tokens, tokens.rows(ids.iloc[rows].tolist()))

    def random(seed: int, rows: np.ndarray) -> np.ndarray:
        return encoder_features(store, untrained(encoder, seed), rows)

    def probed(features: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return linear(features(train), features(test), known.targets, everyone).to_numpy()

    def from_scratch(seed: int) -> np.ndarray:
        data = encoder, store, store, train, test, known.targets, everyone
        made_of = [store.hash, task.hash, train.tolist(), test.tolist()]
        taught = [seed, settings.probe_epochs, encoder.config.to_dict()]
        key = key_of(scratch_scores, type(encoder), params=taught, data=made_of)

        def fitted(folder: Path) -> None:
            scored = scratch_scores(*data, epochs=settings.probe_epochs, seed=seed, folder=folder)
            np.save(folder / _SCORES, scored.to_numpy())

        folder = run.checkpoints("encoder", f"from-scratch-{task.name}-{seed}")
        return np.load(train_or_load(folder, key, fitted) / _SCORES)

    scores = {  # row -> (runs, test ECGs, labels)
        PRETRAINED: np.stack([probed(kept)]),
        RANDOM: np.stack([probed(partial(random, seed)) for seed in settings.probe_seeds]),
        LABELS_ONLY: np.stack([from_scratch(seed) for seed in settings.probe_seeds]),
    }
    drawn = settings.resamples, seed, settings.min_positives
    tables = {row: label_cells(asked, own, *drawn) for row, own in scores.items()}
    for row in (RANDOM, LABELS_ONLY):
        tables[f"{PRETRAINED} minus {row}"] = label_cells(
            asked, scores[PRETRAINED], *drawn, minus=scores[row]
        )
    cells = [{"row": row, **cell} for row, table in tables.items() for cell in table]
    return pd.DataFrame(cells).rename(columns={"label": "column"})


def _some(rows: np.ndarray, most: int | None, seed: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).permutation(rows)[:most])

"""Measure how well encoders trained on simulated ECGs alone read recorded ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from ecg_lib.data.store import EcgStore
from ecg_lib.encoders.token_cache import encoder_input
from ecg_lib.evaluation.distributions import CALIBRATION_FOLDS
from ecg_lib.evaluation.task import load_task
from ecg_lib.intervals import Estimate, auc_over_seeds
from ecg_lib.knowledge.findings import transfer_findings
from ecg_lib.objectives.findings_and_text import FindingsAndText

TASK = load_task("findings.yaml")
READINGS = ("head", "text")  # supervised on simulated labels; zero-shot by similarity to texts
MEAN = "mean of 14"
ENSEMBLE = "ensemble"  # mean of the heads' logits
_BATCH = 128


def parts_of(store: EcgStore, title: str) -> dict[str, np.ndarray]:
    """Return the rows of each part of a cohort that is reported separately.

    PTB-XL's calibration folds are a part of their own, because the simulator may be fitted to them.
    """
    folds = store.records["attributes"].map(lambda a: a.get("strat_fold"))
    if folds.isna().all():
        return {title: np.arange(len(store))}
    calibrated = folds.isin(CALIBRATION_FOLDS).to_numpy()
    return {
        f"{title} folds 7-10": np.flatnonzero(~calibrated & folds.notna().to_numpy()),
        f"{title} folds 1-6 (calibrated)": np.flatnonzero(calibrated),
    }


@torch.no_grad()
def read_store(reader: FindingsAndText, store: EcgStore) -> dict[str, pd.DataFrame]:
    """Score every ECG of a store with both readings.

    Returns
    -------
    dict of reading to (N, findings) DataFrame
        "head": logits of the finding head. "text": similarity to each finding's texts.
    """
    head, text = [], []
    for start in range(0, len(store), _BATCH):
        mv = store.mv(slice(start, start + _BATCH))
        logits, cosine = reader.read(encoder_input(mv, reader.clip.ecg_encoder), TASK.prompts)
        head.append(logits)
        text.append(cosine)
    ids = store.records["ecg_id"]
    return {
        "head": pd.DataFrame(torch.cat(head).numpy(), ids, reader.findings),
        "text": pd.DataFrame(torch.cat(text).numpy(), ids, list(TASK.prompts)),
    }


def transfer_cells(
    targets: pd.DataFrame,
    scores: Sequence[pd.DataFrame],
    patients: Sequence[str],
    resamples: int,
    seed: int,
    min_positives: int,
) -> list[dict]:
    """Return the AUC of each finding, averaged over seeds, and the mean of the 14.

    Parameters
    ----------
    targets : (N, findings) DataFrame of bool
    scores : sequence of (N, findings) DataFrame
        One per seed, ECGs in the order of `targets`.
    patients : (N,) str
        The bootstrap draws whole patients.

    Returns
    -------
    list of dict
        row (finding), value (AUC in percent), ci_low, ci_high, and n, the ECGs with the finding.
        With fewer than `min_positives` of them the value is NaN. The mean is over the findings
        that have a value; its n counts them, and it has no interval.
    """
    cells, averaged = [], []
    table = transfer_findings().set_index("finding")["reported"]
    for finding in targets:
        each = np.stack([s[finding].to_numpy(float) for s in scores])
        cell: Estimate = auc_over_seeds(
            targets[finding], each, resamples, seed, min_positives, patients
        )
        cells.append({"row": finding, **cell.percent()})
        if table[finding] == "mean" and np.isfinite(cell.value):
            averaged.append(100 * cell.value)
    mean = float(np.mean(averaged)) if averaged else np.nan
    return [{"row": MEAN, "value": mean, "n": len(averaged)}, *cells]


def transfer_table(
    readers: Mapping[str, Sequence[FindingsAndText]],
    stores: Mapping[str, EcgStore],
    resamples: int,
    seed: int,
    min_positives: int,
) -> pd.DataFrame:
    """Return the cells of `simulated_to_real.csv`.

    The AUC of a normalisation is the mean over its seeds. If it has several seeds, a further column
    holds the AUC of the ensemble of their heads ("<part>, mv ensemble, head"). If there are several
    normalisations, another column holds that of all heads ("<part>, ensemble, head").

    Parameters
    ----------
    readers : mapping of normalisation to sequence of FindingsAndText
        Trained models, one per seed.
    stores : mapping of str to EcgStore
        Recorded ECGs by the title of their cohort.

    Returns
    -------
    DataFrame
        row (finding), column ("<part>, <normalisation>, <reading>"), value, n, ci_low, ci_high.
    """
    rows = []
    for title, store in stores.items():
        targets, patients = TASK.targets(store.records), store.records["patient_id"].to_numpy()
        scores: dict[tuple[str, str], list[pd.DataFrame]] = {}
        for normalisation, trained in readers.items():
            for read in (read_store(reader, store) for reader in trained):
                for reading in READINGS:
                    scores.setdefault((normalisation, reading), []).append(read[reading])
        heads = {name: seeds for (name, reading), seeds in scores.items() if reading == "head"}
        together = {f"{name} {ENSEMBLE}": seeds for name, seeds in heads.items()}
        if len(heads) > 1:
            together[ENSEMBLE] = [head for seeds in heads.values() for head in seeds]
        scores |= {
            (name, "head"): [sum(several) / len(several)]
            for name, several in together.items()
            if len(several) > 1
        }
        for (normalisation, reading), seeds in scores.items():
            for part, index in parts_of(store, title).items():
                cells = transfer_cells(
                    targets.iloc[index],
                    [s.iloc[index] for s in seeds],
                    patients[index],
                    resamples,
                    seed,
                    min_positives,
                )
                rows += [{**c, "column": f"{part}, {normalisation}, {reading}"} for c in cells]
    return pd.DataFrame(rows)

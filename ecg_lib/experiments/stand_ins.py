"""Ask the arms about an ECG's stand-ins: other patients' ECGs, a flat line, noise (notebook 08)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from ecg_lib.evaluation import no_patient, random_ecg
from ecg_lib.evaluation.severity_drops import MATCHED, OWN, RANDOM
from ecg_lib.experiments.arms import answer_arm

if TYPE_CHECKING:
    from ecg_lib.experiments.llm_experiment import LlmExperiment


def stand_in_rows(run: LlmExperiment, rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows as they are, and with every ECG replaced: stand-in -> rows of the same index."""
    records = run.store.records
    return {
        OWN: rows,
        RANDOM: random_ecg.donors(rows, records, run.config.seed),
        MATCHED: random_ecg.donors(rows, records, run.config.seed, match="normal"),
        no_patient.FLAT: no_patient.without_patient(rows, [no_patient.FLAT]),
        no_patient.NOISE: no_patient.without_patient(rows, _noises()),
    }


def tokens_with_stand_ins(run: LlmExperiment) -> no_patient.TokensBeside:
    """Tokens of the cohort, and of the signals that are no ECG."""
    others = no_patient.no_patient_tokens(
        run.clip.ecg_encoder, run.store, run.config.seed, len(_noises())
    )
    return no_patient.TokensBeside(run.tokens, others)


def answer_stand_ins(
    run: LlmExperiment,
    arm: str,
    asked: Mapping[str, pd.DataFrame],
    tokens: no_patient.TokensBeside,
) -> dict[str, pd.Series]:
    """An arm's answers to each stand-in's rows; the same question about the same ECGs once."""
    whole = pd.concat(asked.values(), keys=asked.keys())
    key = whole["question"] + "\n" + whole["ecg_id"].map("\n".join)
    first = whole[~key.duplicated()].reset_index(drop=True)
    answers = answer_arm(run, arm, first, tokens)["prediction"]
    known = dict(zip(key[~key.duplicated()], answers, strict=True))
    said = key.map(known).rename("prediction")
    return {name: said.loc[name] for name in asked}


def _noises() -> list[str]:
    return [f"{no_patient.NOISE} {k}" for k in range(16)]

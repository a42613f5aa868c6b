"""Ask the arms about an ECG's stand-ins: other patients' ECGs, a flat line, noise (notebook 08)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from ecg_lib.evaluation import no_patient, random_ecg
from ecg_lib.evaluation.severity_drops import MATCHED, OWN, RANDOM
from ecg_lib.experiments.arms import answer_arm
from ecg_lib.questions.build import paired_test

if TYPE_CHECKING:
    from ecg_lib.experiments.llm_experiment import LlmExperiment


def interventional_rows(run: LlmExperiment, train: pd.DataFrame) -> pd.DataFrame:
    """Yes/no questions asked of as many ECGs whose answer is yes as no, whoever they are.

    `evaluation.interventional` ECGs per question and answer; of each question type at most
    `evaluation.interventional_rows` rows, drawn in pairs of one question, so that every question
    keeps as many of both answers.

    Parameters
    ----------
    train : training rows; where questions are built, others than theirs are left out
    """
    config, settings = run.config, run.config.evaluation
    built = config.questions.built  # ECG-QA numbers its own way
    rows = paired_test(
        run.store.records,
        settings.interventional,
        config.seed,
        config.questions.templates or None,
        asked=set(train["question_id"]) if built else None,
    )
    return sample_pairs(rows, settings.interventional_rows, config.seed)


def sample_pairs(rows: pd.DataFrame, most: int | None, seed: int) -> pd.DataFrame:
    """At most `most` rows of each question type, in pairs of a yes and a no to one question."""
    text = rows["answer"].str[0]
    place = rows.groupby([rows["question_id"], text]).cumcount()
    pair = rows["question_id"].astype(str) + " " + place.astype(str)
    kept = []
    for _, own in pair.groupby(rows["question_type"]):
        pairs = pd.Series(own.unique())
        if most is not None and len(own) > most:
            pairs = pairs.sample(max(1, most // 2), random_state=seed)
        kept.append(own[own.isin(pairs)])
    chosen = pd.concat(kept).index if kept else rows.index
    return rows.loc[chosen].sort_index().reset_index(drop=True)


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
) -> dict[str, pd.DataFrame]:
    """`prediction` and `p_yes` of an arm for each stand-in's rows, indexed as they are.

    The same question about the same ECGs is asked once.
    """
    whole = pd.concat(asked.values(), keys=asked.keys())
    key = whole["question"] + "\n" + whole["ecg_id"].map("\n".join)
    first = whole[~key.duplicated()].reset_index(drop=True)
    answers = answer_arm(run, arm, first, tokens)[["prediction", "p_yes"]]
    said = answers.set_axis(key[~key.duplicated()]).loc[key].set_axis(key.index)
    return {name: said.loc[name] for name in asked}


def right_or_not(said: Mapping[str, pd.Series], rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Stand-in -> whether the answer to the *own* ECG's question was given, indexed as `rows`.

    Answers to yes/no questions are one word of a closed list, so they are compared as they are.
    """
    gold = rows["answer"].map("; ".join)
    return {name: own.eq(gold) for name, own in said.items()}


def _noises() -> list[str]:
    return [f"{no_patient.NOISE} {k}" for k in range(16)]

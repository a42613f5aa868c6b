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
    """Draw the interventional test: yes/no questions about equally many yes and no ECGs.

    ECGs are drawn by their answer only, at most `evaluation.interventional` per question and
    answer. Of each question type at most `evaluation.interventional_rows` rows remain. They are
    drawn in yes/no pairs of one question, so that every question keeps equally many of both.

    Parameters
    ----------
    train : DataFrame
        Training rows. If questions are built, only questions that occur in them are asked.
    """
    config, settings = run.config, run.config.evaluation
    built = config.questions.built  # ECG-QA's own question_ids are numbered differently
    rows = paired_test(
        run.store.records,
        settings.interventional,
        config.seed,
        config.questions.templates or None,
        asked=set(train["question_id"]) if built else None,
    )
    return sample_pairs(rows, settings.interventional_rows, config.seed)


def sample_pairs(rows: pd.DataFrame, most: int | None, seed: int) -> pd.DataFrame:
    """Draw at most `most` rows of each question type, in yes/no pairs of one question."""
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
    """Return the rows, and the rows with every ECG replaced, by stand-in; the index is the same."""
    records = run.store.records
    return {
        OWN: rows,
        RANDOM: random_ecg.donors(rows, records, run.config.seed),
        MATCHED: random_ecg.donors(rows, records, run.config.seed, match="normal"),
        no_patient.FLAT: no_patient.without_patient(rows, [no_patient.FLAT]),
        no_patient.NOISE: no_patient.without_patient(rows, _noises()),
    }


def tokens_with_stand_ins(run: LlmExperiment) -> no_patient.TokensBeside:
    """Return the tokens of the cohort together with those of the signals that are not ECGs."""
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
    """Return an arm's `prediction` and `p_yes` for each stand-in's rows, with their index.

    The same question about the same ECGs is asked only once.
    """
    whole = pd.concat(asked.values(), keys=asked.keys())
    key = whole["question"] + "\n" + whole["ecg_id"].map("\n".join)
    first = whole[~key.duplicated()].reset_index(drop=True)
    answers = answer_arm(run, arm, first, tokens)[["prediction", "p_yes"]]
    said = answers.set_axis(key[~key.duplicated()]).loc[key].set_axis(key.index)
    return {name: said.loc[name] for name in asked}


def right_or_not(said: Mapping[str, pd.Series], rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Return, by stand-in, whether each answer is the true one for the *own* ECG.

    Answers to yes/no questions come from a closed list, so they are compared as plain text.
    """
    gold = rows["answer"].map("; ".join)
    return {name: own.eq(gold) for name, own in said.items()}


def _noises() -> list[str]:
    return [f"{no_patient.NOISE} {k}" for k in range(16)]

"""A study: the paper's ablation with the paper's own epochs, at several learning rates.

The paper trains its de-biased model for six epochs on pairs and then for two epochs at a fifth of
the learning rate. The model it is compared with gets only those two, about a tenth of the training.
This study repeats that where nothing is confounded: ECG-QA's own draw, yes/no questions about one
ECG, and no alignment, as the paper has none. It adds a control with equally many unpaired rows.
Whatever the de-biased arm gains here comes from more training.

Everything is cached by fingerprint below `checkpoints/<profile>/paper_schedule`, so that an
interrupted study resumes where it stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from tqdm import tqdm

from ecg_lib.arm_table import CONTROL, DEBIASED, PLAIN, QK
from ecg_lib.baselines.anchors import Anchors
from ecg_lib.ecg_llm.answering import answer_rows
from ecg_lib.ecg_llm.contrast_decoding import contrastive_answers
from ecg_lib.evaluation.no_patient import FLAT, TokensBeside, no_patient_tokens, without_patient
from ecg_lib.evaluation.random_ecg import ORIGINAL, RANDOM, donors
from ecg_lib.experiments.arms import answer_arm, run_stage, stage1_rows, stage_folder
from ecg_lib.experiments.question_sets import built_questions
from ecg_lib.questions.templates import load_templates
from ecg_lib.questions.vocabulary import answer_text
from ecg_lib.report.reference import paper_table
from ecg_lib.report.schedule_table import CONTRASTED, READ
from ecg_lib.training.cache import key_of, train_or_load, version_of

if TYPE_CHECKING:
    from ecg_lib.config import Config
    from ecg_lib.experiments.llm_experiment import LlmExperiment

COMPARED = (PLAIN, DEBIASED, CONTROL)
_WITH, _WITHOUT = "p_yes", "p_without"  # P(yes) with the ECG, and with a flat line in its place
Right = Mapping[str, pd.Series]  # "original ECG", "random ECG" -> whether each answer is right


@dataclass(frozen=True)
class Training:
    """One fine-tuning run: an arm at one stage-1 learning rate with one seed."""

    arm: str
    rate: float
    seed: int

    @property
    def folder(self) -> str:
        """Folder of its rate and seed, below `checkpoints/<profile>/paper_schedule`."""
        return f"rate-{self.rate:g}/seed-{self.seed}"


@dataclass(frozen=True)
class Outcomes:
    """Which answers were right, for each fine-tuning run by decoding, and for the anchors.

    Every Series of answers has the index of `asked`.
    """

    asked: pd.DataFrame
    right: Mapping[Training, Mapping[str, Right]]
    anchors: Mapping[str, Right]
    patients: pd.Series  # by ecg_id


def trainings(config: Config) -> list[Training]:
    """List every fine-tuning run of the study; none if the profile names no rate."""
    study = config.paper_schedule
    seeds = [config.seed, *study.seeds]
    return [
        Training(arm.key, rate, seed)
        for rate, seed, arm in product(sorted(study.rates), seeds, COMPARED)
    ]


def printed_schedule() -> dict[str, tuple[int, float]]:
    """Return epochs and learning rate of stage1 and stage2 as printed in the paper's Table 2."""
    printed = paper_table("table2_training").pivot(index="row", columns="column", values="value")
    printed = printed.sort_index()  # "stage 1: ...", "stage 2: ..."
    return {
        stage: (int(line["epochs"]), float(line["learning rate"]))
        for stage, (_, line) in zip(("stage1", "stage2"), printed.iterrows(), strict=True)
    }


def scheduled(config: Config, rate: float) -> Config:
    """Give a profile the paper's two stages, scaled so that stage 1 has learning rate `rate`.

    LoRA adapts the modules that the paper adapts. All arms, adapters and projectors share one rate
    per stage. All rows are used, there is no alignment, and questions are ECG-QA's own draw. Of the
    profile's templates, only those with a yes/no question about one ECG remain.
    """
    study, printed = config.paper_schedule, printed_schedule()
    scale = rate / printed["stage1"][1]
    stages = {
        stage: replace(
            getattr(config, stage),
            epochs=epochs,
            learning_rate=scale * own,
            learning_rates={},
            projector_rate=None,
            max_rows=None,
            equal_answers=False,
        )
        for stage, (epochs, own) in printed.items()
    }
    known = load_templates()
    templates = [
        number
        for number in config.questions.templates or sorted(known)
        if known[number].question_type == "single-verify"
    ]
    questions = replace(
        config.questions,
        world="ecgqa",
        templates=templates,
        per_answer=study.per_answer,
        per_answer_test=study.per_answer_test,
    )
    return replace(
        config,
        arms=[arm.key for arm in COMPARED],
        alignment=replace(config.alignment, epochs=0),
        lora=replace(config.lora, target_modules=list(QK.adapted)),
        questions=questions,
        **stages,
    )


def question_tables(run: LlmExperiment) -> dict[str, pd.DataFrame]:
    """Return rows by split, the same for all runs because the profile's own seed draws them."""
    return built_questions(scheduled(run.config, 1.0), run.store)


def effort(run: LlmExperiment, train: pd.DataFrame) -> pd.DataFrame:
    """Return how much each arm is trained; the learning rate of the study cancels out.

    Returns
    -------
    DataFrame
        By arm title: "rows of stage 1", "questions" (seen in both stages) and "training", the
        learning rate summed over these questions, in percent of the de-biased arm's.
    """
    config = scheduled(run.config, 1.0)
    shown = stage1_rows(train, run.normal, run.config.seed)
    lines = {}
    for arm in COMPARED:
        rows = {"stage1": len(shown[arm.key]) if arm.stage1 else 0, "stage2": len(train)}
        seen = {stage: n * getattr(config, stage).epochs for stage, n in rows.items()}
        pace = sum(n * getattr(config, stage).learning_rate for stage, n in seen.items())
        lines[arm.title] = {
            "rows of stage 1": rows["stage1"],
            "questions": sum(seen.values()),
            "training": pace,
        }
    table = pd.DataFrame(lines).T
    table["training"] *= 100 / table.loc[DEBIASED.title, "training"]
    return table


def run_schedule(run: LlmExperiment) -> Outcomes:
    """Train every arm at every rate with every seed and collect its answers, or load them."""
    rows, config = question_tables(run), run.config
    verify = rows["test"]["question_type"] == "single-verify"
    asked = rows["test"][verify].reset_index(drop=True)
    tests = {ORIGINAL: asked, RANDOM: donors(asked, run.store.records, config.seed)}
    flat = no_patient_tokens(run.clip.ecg_encoder, run.store, config.seed, noises=0)
    tokens = TokensBeside(run.tokens, flat)
    gold, right = asked["answer"].map(answer_text), {}
    for training in tqdm(trainings(config), desc="schedule"):
        said = _train_and_ask(run, training, rows["train"], tests, tokens)
        right[training] = {
            READ: {ecg: part["prediction"].eq(gold) for ecg, part in said.items()},
            CONTRASTED: {ecg: _contrasted(part).eq(gold) for ecg, part in said.items()},
        }
    readers = Anchors.learn(rows["train"], run.store.records)
    by_ecg = {ecg: readers.answer(part) for ecg, part in tests.items()}
    anchors = {who: {ecg: by_ecg[ecg][who].eq(gold) for ecg in tests} for who in by_ecg[ORIGINAL]}
    return Outcomes(asked, right, anchors, run.patients)


def _contrasted(said: pd.DataFrame) -> pd.Series:
    return pd.Series(contrastive_answers(said[_WITH], said[_WITHOUT]), index=said.index)


def _train_and_ask(
    run: LlmExperiment,
    training: Training,
    train: pd.DataFrame,
    tests: Mapping[str, pd.DataFrame],
    tokens: TokensBeside,
) -> dict[str, pd.DataFrame]:
    """Train an arm and collect, or load, its `prediction`, `p_yes` and `p_without`."""
    config = replace(scheduled(run.config, training.rate), seed=training.seed)
    own, arm = run.below("paper_schedule", training.folder, config=config), training.arm
    shown = {"stage2": train}
    shown |= {"stage1": stage1_rows(train, run.normal, training.seed).get(arm)}
    for stage in ("stage1", "stage2"):
        if shown[stage] is not None:
            run_stage(own, stage, arm, shown[stage], say=None)
    key = key_of(
        answer_rows,
        no_patient_tokens,
        model=version_of(stage_folder(own, "stage2", arm)),
        tests=[_digest(part) for part in tests.values()],
    )

    def ask(folder: Path) -> None:
        sentences = next(iter(tests.values())).drop_duplicates("question")
        blank = answer_arm(own, arm, without_patient(sentences, [FLAT]), tokens)["p_yes"]
        without = dict(zip(sentences["question"], blank, strict=True))
        said = [
            answer_arm(own, arm, part, tokens).assign(
                **{_WITHOUT: part["question"].map(without), "ecg": ecg}
            )
            for ecg, part in tests.items()
        ]
        pd.concat(said).to_parquet(folder / "answers.parquet")

    place = run.checkpoints("paper_schedule", training.folder, "answers", arm)
    saved = pd.read_parquet(train_or_load(place, key, ask, say=None) / "answers.parquet")
    return dict(iter(saved.groupby("ecg", sort=False)))


def _digest(rows: pd.DataFrame) -> list[int]:
    return pd.util.hash_pandas_object(rows.astype(str), index=False).tolist()

"""A dialogue about ECGs as in the paper's Figure 4, with the true answer beside every answer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from peft import PeftModel

from ecg_lib.data.credentialed import without_ids
from ecg_lib.disk import write_file
from ecg_lib.ecg_llm.answering import generate_answers
from ecg_lib.ecg_llm.causal_lm import check_fits, plain_generation
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.encoders.token_cache import EcgTokens
from ecg_lib.errors import DataError
from ecg_lib.evaluation.answer_marks import CANNOT_SAY, NO_ANSWER, RIGHT, Line, marked
from ecg_lib.knowledge import advice
from ecg_lib.knowledge.glossary import by_urgency
from ecg_lib.questions.draw import Pool
from ecg_lib.questions.facets import answer, facet_of
from ecg_lib.questions.templates import Question, load_templates
from ecg_lib.questions.vocabulary import (
    NONE,
    answer_text,
    answers_in,
    canonical_order,
    parse_answer,
)

# ECG-QA's templates for the diagnosis of one ECG, and for what is new in the second of two ECGs, of
# one patient or of two. Their first test wording is asked; no model was trained on it.
INTERPRET, NEW, NEW_IN_OTHER = 8, 48, 62
_NO_TERMS = {
    *answers_in("verify", "unsure", "none", "lead", "range", "feature"),
    "none of myocardial infarction",
}
PAPERS_PATIENT = 69, "F"  # "a 69 year old grandmother"


@dataclass(frozen=True)
class Turn:
    """A question, the model's answer and the true answer."""

    question: str
    said: str
    truth: str


@dataclass(frozen=True)
class Choice:
    """The ECGs of a case (one, or previous and recent) and the template to ask."""

    ecg_ids: tuple[str, ...]
    template: int


def _held_out(records: pd.DataFrame) -> pd.DataFrame:
    test = records[records["split"] == "test"]
    held_out = test if len(test) else records[records["split"] != "train"]
    if held_out.empty:
        raise DataError(
            "case study: every ECG was used in training; give a cohort with a test split"
        )
    return held_out.reset_index(drop=True)


def _known(records: pd.DataFrame) -> list[tuple[dict, dict]]:
    return list(zip(records["labels"], records["attributes"], strict=True))


def _question(template: int) -> Question:
    return load_templates()[template].questions()[0]  # these three templates have no placeholder


def choose_single(records: pd.DataFrame) -> Choice:
    """Choose the held-out ECG with the most diagnoses, all of them certain.

    Parameters
    ----------
    records : DataFrame
        `EcgStore.records`: ecg_id, split, labels, attributes. Held out are the ECGs of the test
        split, or all but those of the training split if there is no test split.

    Returns
    -------
    Choice
        The first ECG if several have equally many diagnoses.

    Raises
    ------
    DataError
        Every ECG is in the training split.
    """
    rows = _held_out(records)

    def diagnoses(labels: dict, attributes: dict) -> int:
        certain = facet_of("certain diagnostic", labels, attributes)
        clear = certain == facet_of("diagnostic", labels, attributes)
        can_say = answer(_question(INTERPRET), [(labels, attributes)]) is not None
        return len(certain) if certain and clear and can_say else 0

    counts = [diagnoses(*known) for known in _known(rows)]
    return Choice((rows["ecg_id"][counts.index(max(counts))],), INTERPRET)


def choose_pair(records: pd.DataFrame, single: Choice) -> Choice:
    """Choose two held-out ECGs of one patient in time order, the second with most new findings.

    If no patient has such a pair, choose the first other held-out ECG, a normal one if there is
    any, followed by the ECG of the single case.

    Parameters
    ----------
    records : DataFrame
        `EcgStore.records`.
    single : Choice
        What `choose_single` returned for these records.

    Raises
    ------
    DataError
        Fewer than two ECGs are held out.
    """
    rows = _held_out(records)
    known, best, most = _known(rows), None, 0
    for first, second in Pool(rows).pairs("comparison_consecutive", [0]):
        new = answer(_question(NEW), [known[first], known[second]])
        if new is not None and NONE not in new and len(new) > most:
            best, most = (first, second), len(new)
    if best is not None:
        return Choice(tuple(rows["ecg_id"][list(best)]), NEW)
    others = rows[~rows["ecg_id"].isin(single.ecg_ids)]
    if others.empty:
        raise DataError("case study: only one ECG is held out; give a cohort with two or more")
    normal = others[others["normal"]]
    first = (normal if len(normal) else others)["ecg_id"].iloc[0]
    return Choice((first, *single.ecg_ids), NEW_IN_OTHER)


def ask_case(
    model: EcgLlm,
    processor: EcgLlmProcessor,
    tokens: EcgTokens,
    records: pd.DataFrame,
    choice: Choice,
    max_new_tokens: int = 32,
) -> Turn:
    """Ask the model a case's question, in a wording it was not trained on.

    Parameters
    ----------
    tokens : EcgTokens
        Tokens of the case's ECGs.
    records : DataFrame
        `EcgStore.records` of the same ECGs, from which the true answer is derived.
    """
    question = _question(choice.template)
    text = question.text(question.template.wordings.test[0])
    said = generate_answers(
        model, processor, [text], [list(choice.ecg_ids)], tokens, max_new_tokens
    )[0]
    rows = records.set_index("ecg_id").loc[list(choice.ecg_ids)]
    truth = answer(question, _known(rows))
    return Turn(text, said, CANNOT_SAY if truth is None else answer_text(truth))


def term_to_explain(turn: Turn) -> str:
    """Return the term to ask about next: the most urgent finding in the answer or the truth.

    Among equally urgent findings, those the model named come first. Without any finding the term
    is "sinus rhythm".

    Raises
    ------
    DataError
        A finding has no entry in the glossary.
    """
    named = [n for text in (turn.said, turn.truth) for n in canonical_order(parse_answer(text))]
    return next(iter(by_urgency([n for n in named if n not in _NO_TERMS])), "sinus rhythm")


@torch.no_grad()
def say(model: EcgLlm, processor: EcgLlmProcessor, text: str, max_new_tokens: int = 240) -> str:
    """Continue a text with the frozen language model alone: no ECG, no adapters."""
    lm, tokenizer = model.language_model, processor.tokenizer
    bos = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    batch = processor.prompts([[*bos, *tokenizer(text, add_special_tokens=False)["input_ids"]]])
    batch = {name: value.to(model.device) for name, value in batch.items()}
    check_fits(model.base_lm, batch["input_ids"].shape[1], max_new_tokens)
    with lm.disable_adapter() if isinstance(lm, PeftModel) else nullcontext():
        ids = plain_generation(model.base_lm).generate(
            **batch,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=processor.pad_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    new = ids[:, batch["input_ids"].shape[1] :]
    return " ".join(processor.said(new)[0].split())


def explain(model: EcgLlm, processor: EcgLlmProcessor, term: str) -> Turn:
    """Ask the language model alone what a term means; the truth is the full explanation."""
    question = advice.meaning(term)
    return Turn(question, say(model, processor, question), advice.explained(term))


def advise(model: EcgLlm, processor: EcgLlmProcessor, term: str, age: float, sex: str) -> Turn:
    """Ask the language model alone what a patient of a given age and sex should do about a term.

    The paper's patient, a woman of 69, asks instead if age or sex is unknown or the age is outside
    18 to 120 years.

    Parameters
    ----------
    age : float
        Years; NaN if unknown.
    sex : str
        "F" or "M"; empty if unknown.
    """
    if not (advice.YOUNGEST <= age <= advice.OLDEST and sex):  # an unknown age is NaN
        age, sex = PAPERS_PATIENT
    question = advice.question(term, age, sex)
    return Turn(question, say(model, processor, question), advice.advised(term, age, sex))


def agrees(turn: Turn) -> bool:
    """Return whether the answer says everything that is true, and nothing else."""
    return all(line.verdict == RIGHT for line in marked(turn.said, turn.truth))


def shown(turn: Turn) -> tuple[str, list[Line]]:
    """Return a question and the marked lines of its answer, for a figure."""
    return turn.question, marked(turn.said, turn.truth)


def write_case_study(path: Path, cases: dict[str, Sequence[Turn]], label: str) -> None:
    """Write all turns as Markdown, atomically: question, answer, truth and the mark of each line.

    Titles lose the ids of credentialed ECGs.

    Parameters
    ----------
    cases : dict of str to sequence of Turn
        Turns by the title of their case.
    label : str
        Says where the answers come from, in the line below the heading.
    """

    def cell(text: str) -> str:
        return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;") or NO_ANSWER

    def marks(turn: Turn) -> str:
        lines = marked(turn.said, turn.truth)
        return "<br>".join(
            cell(str(line)) if line.verdict == RIGHT else f"**{cell(str(line))}**" for line in lines
        )

    parts = ["# Case studies", f"Answers: {label}. For research and teaching, not for diagnosis."]
    for title, turns in cases.items():
        rows = [
            f"| {cell(t.question)} | {cell(t.said)} | {cell(t.truth)} | {marks(t)} |" for t in turns
        ]
        head = ["| question | answer | truth | line by line |", "|:--|:--|:--|:--|"]
        parts += [f"## {without_ids(title)}", "\n".join([*head, *rows])]
    write_file(path, "\n\n".join(parts) + "\n")

"""Answer the question of a row again when it is asked about other ECGs.

A row holds the answer for its own ECG only. If that ECG is replaced, or the question is asked about
a whole cohort, the answer is read from the labels again, by the rules that built the questions
(`ecg_lib.questions.facets`).
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from ecg_lib.errors import DataError
from ecg_lib.questions.agreement import question_of
from ecg_lib.questions.facets import answer
from ecg_lib.questions.templates import Question, load_templates
from ecg_lib.questions.vocabulary import answer_text


def questions_of(rows: pd.DataFrame) -> list[Question | None]:
    """Find the template question behind each row; None where no template of ours asks it.

    A row that we built is found by its question_id, if its text is a wording of that question. A
    row of ECG-QA has other numbers and wordings, so it is found by template, attribute and leads.
    If it compares two ECGs it names no attribute, and its question mostly stays unknown.
    """
    templates = {i: t for i, t in load_templates().items() if i in set(rows["template_id"])}
    numbered = {question.id: question for t in templates.values() for question in t.questions()}
    found: dict[tuple, Question | None] = {}
    asked: list[Question | None] = []
    for row in rows.itertuples():
        key = row.question_id, row.question, tuple(row.attribute or ())
        if key not in found:
            question = numbered.get(row.question_id)
            found[key] = question if question and _asks(question, row) else _by_attribute(row)
        asked.append(found[key])
    return asked


def true_answers(rows: pd.DataFrame, records: pd.DataFrame) -> pd.Series:
    """Return the true answer to each row's question for the ECGs that the row names now.

    Parameters
    ----------
    rows : DataFrame
        Question rows; their `answer` is not read.
    records : DataFrame
        `ecg_id`, and `labels` and `attributes` as dicts; one row per ECG.

    Returns
    -------
    Series of str
        Indexed as `rows`. None where an ECG is unknown, its record does not give the answer, or
        the question is not one of ours.
    """
    facts = dict(
        zip(
            records["ecg_id"],
            zip(records["labels"], records["attributes"], strict=True),
            strict=True,
        )
    )
    said: list[str | None] = []
    for question, ecgs in zip(questions_of(rows), rows["ecg_id"], strict=True):
        own = [facts[ecg] for ecg in ecgs if ecg in facts]
        true = answer(question, own) if question and len(own) == len(ecgs) else None
        said.append(None if true is None else answer_text(true))
    return pd.Series(said, index=rows.index, dtype=object, name="prediction")


def _asks(question: Question, row: Any) -> bool:
    """Return whether a row's text is one of a question's wordings."""
    template = question.template
    swaps = (False, True) if template.form == "choose" else (False,)
    return template.id == row.template_id and any(
        question.text(wording, swap) == row.question
        for wording in template.wordings.all()
        for swap in swaps
    )


def _by_attribute(row: Any) -> Question | None:
    try:
        return question_of(row)
    except DataError:
        return None

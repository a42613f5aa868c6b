"""do(question): questions asked of ECGs that a lot chose, and what is then true of them.

The structural causal model is known where questions are built from labels: severity decides who is
asked what. Here its arrow to the question is cut (Figure 2b of the paper). Every question is asked
of ECGs drawn at random, so that a question tells nothing about severity. It still tells how common
its finding is, P(yes | do(question)), which is no bias but a fact of the cohort. Two tests answer
two needs: this one for what a model would say of everybody, ``build.paired_test`` (drawn by answer,
as many yes as no) for an accuracy whose chance level is one half.
"""

from collections.abc import Collection, Iterator

import numpy as np
import pandas as pd

from ecg_lib.errors import DataError
from ecg_lib.questions.draw import Pool, take, verify_masks
from ecg_lib.questions.schema import SPLITS, empty_rows, validate_rows
from ecg_lib.questions.templates import Question, load_templates
from ecg_lib.questions.vocabulary import NO, NOT_SURE, YES

_NEEDED = ("ecg_id", "split", "normal", "labels", "attributes")
_STREAM = 4  # random numbers apart from those of the three splits (0-2) and the paired test (3)
_WORDINGS = ("train", "dev", "test")
Masks = dict[str, np.ndarray]


def interventional_test(
    records: pd.DataFrame,
    n: int = 50,
    seed: int = 0,
    templates: Collection[int] | None = None,
    split: str = "test",
    wording: str = "test",
    asked: Collection[int] | None = None,
) -> pd.DataFrame:
    """Each verify question about one ECG, asked of ``n`` ECGs drawn whatever they show.

    Parameters
    ----------
    records : DataFrame
        As for ``build.build_questions``.
    n : int
        ECGs a question, drawn without replacement; all where fewer exist. An ECG whose record
        cannot say (an attribute that its cohort does not carry) is not asked.
    seed : int
        Each question has its own stream, so leaving one out changes no other.
    templates : collection of int, optional
        ECG-QA template ids; those that are not verify questions about one ECG are passed over.
    split : {"train", "valid", "test"}
        Whose ECGs.
    wording : {"train", "dev", "test"}
        Which wordings; they take turns whatever the severity and the answer.
    asked : collection of int, optional
        question_ids to keep, e.g. those of the training rows.

    Returns
    -------
    DataFrame
        Question rows; "not sure" is among the answers where it is true.

    Raises
    ------
    DataError
        A column is missing, or a split, wording or template id is unknown.
    """
    if wording not in _WORDINGS:
        raise DataError(f"wording {wording!r}: unknown; use one of {', '.join(_WORDINGS)}")
    pool = _pool(records, split)
    ids = pool.records["ecg_id"].tolist()
    rows = []
    for question, masks in _askable(pool, templates, asked):
        rng = np.random.default_rng([seed, _STREAM, question.id])
        texts = getattr(question.template.wordings, wording)
        turn = rng.permutation(len(texts))
        chosen = take(np.flatnonzero(np.any(list(masks.values()), axis=0)), n, rng)
        for k, i in enumerate(chosen):
            rows.append(
                {
                    "template_id": question.template.id,
                    "question_id": question.id,
                    "sample_id": len(rows),
                    "question_type": question.template.question_type,
                    "attribute_type": question.template.attribute_type,
                    "question": question.text(texts[turn[k % len(texts)]]),
                    "answer": [next(answer for answer, mask in masks.items() if mask[i])],
                    "ecg_id": [ids[i]],
                    "attribute": question.attribute(),
                }
            )
    return validate_rows(pd.DataFrame(rows)) if rows else empty_rows()


def prevalence(
    records: pd.DataFrame,
    templates: Collection[int] | None = None,
    split: str = "test",
    asked: Collection[int] | None = None,
) -> pd.DataFrame:
    """The truth that an interventional test samples: every question asked of every ECG of a split.

    Returns
    -------
    DataFrame
        A row a question: ``question_id, template_id, kind, question`` (the plain sentence), ``n``
        (ECGs that can be asked), ``yes_rate`` = P(yes | do(question)), ``unsure_rate``, and
        ``normal_ratio`` among those ECGs.
    """
    pool = _pool(records, split)
    lines = []
    for question, masks in _askable(pool, templates, asked):
        can_say = np.any(list(masks.values()), axis=0)
        lines.append(
            {
                "question_id": question.id,
                "template_id": question.template.id,
                "kind": question.template.kind,
                "question": question.text(question.template.wordings.sentence),
                "n": int(can_say.sum()),
                "yes_rate": masks[YES].sum() / can_say.sum(),
                "unsure_rate": masks[NOT_SURE].sum() / can_say.sum(),
                "normal_ratio": pool.normal[can_say].mean(),
            }
        )
    columns = ["question_id", "template_id", "kind", "question"]
    return pd.DataFrame(lines, columns=[*columns, "n", "yes_rate", "unsure_rate", "normal_ratio"])


def _pool(records: pd.DataFrame, split: str) -> Pool:
    missing = [c for c in _NEEDED if c not in records.columns]
    if missing:
        raise DataError(f"records lack the column {missing[0]!r}; open them with EcgStore")
    if split not in SPLITS:
        raise DataError(f"split {split!r}: unknown; use one of {', '.join(SPLITS)}")
    return Pool(records.loc[records["split"] == split])


def _askable(
    pool: Pool, ids: Collection[int] | None, asked: Collection[int] | None
) -> Iterator[tuple[Question, Masks]]:
    """Verify questions about one ECG that some ECG can be asked, and who answers what."""
    known = load_templates()
    unknown = sorted(set(ids or ()) - set(known))
    if unknown:
        raise DataError(
            f"template {unknown[0]} has no wordings; add it to templates.yaml or leave it out"
        )
    for template in (known[i] for i in sorted(known if ids is None else set(ids))):
        if template.question_type != "single-verify":
            continue
        for question in template.questions():
            if asked is None or question.id in asked:
                masks = verify_masks(question, pool, None)
                masks = {answer: masks[answer] for answer in (YES, NOT_SURE, NO)}
                if any(mask.any() for mask in masks.values()):
                    yield question, masks

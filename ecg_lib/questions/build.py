"""Build questions from labels: ask ECG-QA's templates about the ECGs of any labelled cohort."""

from collections.abc import Collection, Mapping
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from ecg_lib.errors import DataError
from ecg_lib.questions import draw
from ecg_lib.questions.draw import Drawn, Pool, Sizes
from ecg_lib.questions.schema import SPLITS, empty_rows, validate_rows
from ecg_lib.questions.severity import strata
from ecg_lib.questions.templates import Question, Template, load_templates
from ecg_lib.questions.worlds import find_world
from ecg_lib.questions.worlds.world import World

DEV = "dev"
_NEEDED = ("ecg_id", "patient_id", "recorded_at", "split", "normal", "labels", "attributes")
Asked = list[tuple[Question, list[Drawn]]]


def build_questions(
    records: pd.DataFrame,
    sizes: Mapping[str, Sizes | Mapping[str, int]] | Sizes | None = None,
    world: World | str = "ecgqa",
    seed: int = 0,
    templates: Collection[int] | None = None,
) -> dict[str, pd.DataFrame]:
    """Build train, valid, test and dev questions about the ECGs of a prepared store.

    Parameters
    ----------
    records : DataFrame
        `ecg_id, patient_id, recorded_at, split, normal`, and `labels` and `attributes` as
        dicts; one row per ECG.
    sizes : Sizes, or mapping of split to Sizes (or to their fields)
        Defaults to `Sizes()` for train and a third of it elsewhere.
    world : World or its name
        Rule for which ECGs are asked what (`ecg_lib.questions.worlds`), the same in all splits.
    seed : int
        The same seed gives the same tables. Each template has its own random stream, so leaving
        one out does not change the others.
    templates : collection of int, optional
        ECG-QA template ids to ask; all by default.

    Returns
    -------
    dict of str to DataFrame
        `train`, `valid`, `test` and `dev` in the row schema. Valid shares the wordings of train;
        test has its own. `dev` repeats the valid rows with a held-out wording of each question, so
        the difference between the two is the cost of an unseen wording. The other splits ask only
        questions that train asks, and drop answers that train never gives to the template. Train
        leaves out a query question if all its ECGs give the same answer.

    Raises
    ------
    DataError
        A column or the training split is missing, or a template id or size is unknown.
    """
    pools = _pools(records)
    world = find_world(world) if isinstance(world, str) else world
    chosen = _chosen(templates)
    limits = _sizes(sizes)
    tables: dict[str, pd.DataFrame] = {}
    asked_in_train: set[int] | None = None  # question ids
    seen: set[tuple[int, tuple[str, ...]]] = set()  # template ids and answers in train
    for split in SPLITS:
        asked: Asked = []
        for template in chosen:
            rng = np.random.default_rng([seed, SPLITS.index(split), template.id])
            asked += _ask(
                template,
                pools[split],
                limits[split],
                world,
                rng,
                asked_in_train,
                [seed, SPLITS.index(split)],
            )
        if asked_in_train is None:
            asked_in_train = {question.id for question, drawn in asked if drawn}
            seen = {(q.template.id, tuple(d.answer)) for q, drawn in asked for d in drawn}
        asked = [
            (q, [d for d in drawn if (q.template.id, tuple(d.answer)) in seen])
            for q, drawn in asked
        ]
        tables[split] = _rows(
            asked, pools[split], "test" if split == "test" else "train", [seed, SPLITS.index(split)]
        )
        if split == "valid":
            tables[DEV] = _rows(asked, pools[split], DEV, [seed, SPLITS.index(split)])
    return tables


def paired_test(
    records: pd.DataFrame,
    n: int = 10,
    seed: int = 0,
    templates: Collection[int] | None = None,
    split: str = "test",
    wording: str = "test",
    asked: Collection[int] | None = None,
    match: str | None = None,
) -> pd.DataFrame:
    """Build an interventional test: every verify question asked about as many yes as no ECGs.

    An ECG is chosen for a question by its answer only, not by severity (how ill the patient is).
    The question text therefore says nothing about the answer, and a model that ignores the ECG
    scores one half. With `match`, so does a model that sees only how ill the patient is.

    Parameters
    ----------
    records : DataFrame
        As in `build_questions`.
    n : int
        Maximum number of ECGs per answer; a question with a rarer answer gets fewer of both.
    split : {"train", "valid", "test"}
        The split whose ECGs are asked about.
    wording : {"train", "dev", "test"}
        The set of wordings to use.
    asked : collection of int, optional
        question_ids to keep, e.g. those of the training rows.
    match : None, "normal" or "severity"
        If given, yes and no are equally many within each stratum of severity: among normal ECGs
        and among the others, or in every grade (`ecg_lib.questions.severity.strata`). Pairs are
        matched on both ECGs.
    """
    pool = _pools(records)[split]
    stratum = None if match is None else strata(pool.records, match).to_numpy()
    result: Asked = []
    for template in _chosen(templates):
        if template.form != "verify":
            continue
        # 3 gives a random stream apart from those of the three splits (0 to 2).
        rng = np.random.default_rng([seed, 3, template.id])
        pairs = pool.pairs(template.question_type, [seed, 3]) if template.two_ecgs else None
        for question in template.questions():
            if asked is None or question.id in asked:
                drawn = (
                    draw.balanced_verify(question, pool, n, rng, pairs, True)
                    if stratum is None
                    else draw.matched_verify(question, pool, n, rng, pairs, stratum)
                )
                result.append((question, drawn))
    return _rows(result, pool, wording, [seed, 3])


def _pools(records: pd.DataFrame) -> dict[str, Pool]:
    missing = [c for c in _NEEDED if c not in records.columns]
    if missing:
        raise DataError(f"records lack the column {missing[0]!r}; open them with EcgStore")
    if not (records["split"] == "train").any():
        raise DataError("records: no ECG has split 'train'; give records with a training split")
    return {split: Pool(records.loc[records["split"] == split]) for split in SPLITS}


def _chosen(ids: Collection[int] | None) -> list[Template]:
    known = load_templates()
    unknown = sorted(set(ids or ()) - set(known))
    if unknown:
        raise DataError(
            f"template {unknown[0]} has no wordings; add it to templates.yaml or leave it out"
        )
    return [known[i] for i in sorted(known if ids is None else set(ids))]


def _sizes(sizes: Mapping | Sizes | None) -> dict[str, Sizes]:
    if sizes is None or isinstance(sizes, Sizes):
        whole = sizes or Sizes()
        third = Sizes(*(max(1, -(-getattr(whole, f) // 3)) for f in Sizes.__dataclass_fields__))
        return {"train": whole, "valid": third, "test": third}
    result = {}
    for split in SPLITS:
        if split not in sizes:
            raise DataError(
                f"sizes: no entry for the split {split!r}; give one for {', '.join(SPLITS)}"
            )
        entry = sizes[split]
        unknown = (
            set() if isinstance(entry, Sizes) else set(entry) - set(Sizes.__dataclass_fields__)
        )
        if unknown:
            raise DataError(
                f"sizes of {split}: unknown field {sorted(unknown)[0]!r}; use only "
                f"{', '.join(Sizes.__dataclass_fields__)}"
            )
        result[split] = entry if isinstance(entry, Sizes) else Sizes(**entry)
    return result


def _ask(
    template: Template,
    pool: Pool,
    size: Sizes,
    world: World,
    rng: np.random.Generator,
    allowed: Collection[int] | None,
    pair_seed: list[int],
) -> Asked:
    """Draw the ECGs for each question of a template; leave out questions without enough ECGs."""
    if not len(pool):
        return []
    pairs = pool.pairs(template.question_type, pair_seed) if template.two_ecgs else None
    questions = template.questions()
    if allowed is not None:
        questions = [q for q in questions if q.id in allowed]
    if template.form == "choose":
        return [
            (q, world.choose(q, pool, size, rng)) for q in _choosable(questions, pool, size, rng)
        ]
    if template.form == "query":
        drawn = [(q, world.query(q, pool, size, rng, pairs)) for q in questions]
        # If training has one answer only (no lead of this cohort shows the finding), the text
        # alone would give it away.
        least = 1 if allowed is not None else 2
        return [(q, rows) for q, rows in drawn if len({tuple(d.answer) for d in rows}) >= least]
    asked: Asked = [(q, world.verify(q, pool, size, rng, pairs)) for q in questions]
    return [(q, drawn) for q, drawn in asked if drawn]


def _choosable(
    questions: list[Question], pool: Pool, size: Sizes, rng: np.random.Generator
) -> list[Question]:
    """Return the questions with two frequent enough options, at most `size.choose_questions`."""
    enough = {}

    def fits(question: Question) -> bool:
        facet = question.bind(question.template.facet)
        options = [(facet, question.values[key]) for key in ("a", "b")]
        for key in options:
            if key not in enough:
                enough[key] = pool.facets.has(*key).sum() >= size.min_positive
        return all(enough[key] for key in options)

    fit = [q for q in questions if fits(q)]
    kept = draw.take(np.arange(len(fit)), size.choose_questions, rng)
    return [fit[i] for i in sorted(kept)]


def _rows(asked: Asked, pool: Pool, wording: str, stream: list[int]) -> pd.DataFrame:
    """Word the rows so that every wording gets the same mixture of answers and severities.

    Rows of one answer and severity form a part, in which the wordings take turns. Their order is
    drawn anew for every part: some parts have fewer rows than there are wordings, and a fixed order
    would give the same wordings to the same answers in every split.
    """
    ids = pool.records["ecg_id"].tolist()
    rows: list[dict[str, Any]] = []
    for question, drawn in asked:
        template = question.template
        texts = getattr(template.wordings, wording)
        rng = np.random.default_rng([*stream, question.id])

        def part(d: Drawn) -> tuple:
            return d.answer, [bool(pool.normal[i]) for i in d.ecgs]

        for _, members in groupby(sorted(drawn, key=part), key=part):
            turn = rng.permutation(len(texts))
            for k, d in enumerate(members):
                rows.append(
                    {
                        "template_id": template.id,
                        "question_id": question.id,
                        "sample_id": len(rows),
                        "question_type": template.question_type,
                        "attribute_type": template.attribute_type,
                        "question": question.text(texts[turn[k % len(texts)]], d.swap),
                        "answer": d.answer,
                        "ecg_id": [ids[i] for i in d.ecgs],
                        "attribute": question.attribute(d.swap),
                    }
                )
    if not rows:
        return empty_rows()
    table = pd.DataFrame(rows)
    table["attribute"] = pd.Series([row["attribute"] for row in rows], dtype=object)
    return validate_rows(table)


__all__ = ["DEV", "Sizes", "build_questions", "paired_test"]

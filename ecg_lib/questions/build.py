"""Questions built from labels: ECG-QA's templates asked of any labelled cohort."""

from collections.abc import Collection, Mapping
from itertools import groupby

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
    """Train, valid, test and dev questions about the ECGs of a prepared store.

    Parameters
    ----------
    records : DataFrame
        ``ecg_id, patient_id, recorded_at, split, normal``, and ``labels`` and ``attributes`` as
        dicts.
    sizes : Sizes, or mapping of split to Sizes (or to their fields)
        Defaults to ``Sizes()`` for train and a third of it elsewhere.
    world : World or its name
        Who is asked what (:mod:`ecg_lib.questions.worlds`), alike in all splits.
    seed : int
        Same seed, same tables; each template has its own stream, so leaving one out changes no
        other.
    templates : collection of int, optional
        ECG-QA template ids to ask; all by default.

    Returns
    -------
    dict of str to DataFrame
        ``train``, ``valid``, ``test`` and ``dev`` in the row schema. Valid shares the wordings of
        train, test uses its own. ``dev`` repeats the valid rows word for word but for the question,
        which is the wording held out: the difference between the two is the cost of an unseen
        wording. A question is asked elsewhere only if train asks it, and an answer that train never
        gives is dropped. Train leaves out a query question to which all its ECGs answer alike.

    Raises
    ------
    DataError
        A column or the training split is missing, or a template id or size is unknown.
    """
    pools = _pools(records)
    world = find_world(world) if isinstance(world, str) else world
    chosen = _chosen(templates)
    limits = _sizes(sizes)
    tables, asked_in_train, seen = {}, None, None
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
    """An interventional test: every verify question asked of as many yes as no ECGs.

    Which ECG gets which question depends on its answer only, not on severity, so the question text
    says nothing about the answer and a model that ignores the ECG scores one half. With ``match``
    a model that sees only how ill somebody is scores one half, too.

    Parameters
    ----------
    n : int
        ECGs per answer at most; a question with a rarer answer gets fewer of both.
    split : {"train", "valid", "test"}
        Whose ECGs.
    wording : {"train", "dev", "test"}
        Which wordings.
    asked : collection of int, optional
        question_ids to keep, e.g. those of the training rows.
    match : None, "normal" or "severity"
        Yes and no are as many among normal ECGs and among the others, or in every grade of severity
        (:func:`ecg_lib.questions.severity.strata`); of two ECGs both are matched.
    """
    pool = _pools(records)[split]
    stratum = None if match is None else strata(pool.records, match).to_numpy()
    result: Asked = []
    for template in _chosen(templates):
        if template.form != "verify":
            continue
        # 3: a stream apart from those of the three splits
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
        raise DataError("records: no ECG has split 'train'; questions need a training split")
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
            raise DataError(f"sizes: no entry for the split {split!r}")
        entry = sizes[split]
        unknown = (
            set() if isinstance(entry, Sizes) else set(entry) - set(Sizes.__dataclass_fields__)
        )
        if unknown:
            raise DataError(
                f"sizes of {split}: unknown field {sorted(unknown)[0]!r}; known are "
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
    """Each question of a template with the ECGs it is asked of; none where few say yes or no."""
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
        # With one answer in training (a finding that no lead of this cohort shows), the text alone
        # would give it away.
        least = 1 if allowed is not None else 2
        return [(q, rows) for q, rows in drawn if len({tuple(d.answer) for d in rows}) >= least]
    asked: Asked = [(q, world.verify(q, pool, size, rng, pairs)) for q in questions]
    return [(q, drawn) for q, drawn in asked if drawn]


def _choosable(
    questions: list[Question], pool: Pool, size: Sizes, rng: np.random.Generator
) -> list[Question]:
    """Questions both of whose options occur often enough, at most ``size.choose_questions``."""
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
    """Word the rows, the wordings in turn within (answer, severity), so that all see one mixture.

    The order of the wordings is drawn anew for every such part: where a part is smaller than the
    number of wordings, which wording goes with which answer must not repeat from split to split.
    """
    ids = pool.records["ecg_id"].tolist()
    rows = []
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

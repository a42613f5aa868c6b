"""Do our answers agree with ECG-QA's? Its rows, answered again from what we know of their ECGs.

ECG-QA computed its answers about noise from PTB-XL's notes and those about measurements from the
500 Hz signals, so that a row on which we disagree names a rule that we got wrong, or a measurement
so near a limit that its last ms decide.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from ecg_lib.data.store import EcgStore
from ecg_lib.errors import DataError
from ecg_lib.questions.ecgqa_rows import keep_known
from ecg_lib.questions.facets import answer, normal_ranges
from ecg_lib.questions.templates import Question, load_templates
from ecg_lib.questions.vocabulary import NONE

TEMPLATES = (26, 27, 28, 68, 69, 70)  # noise; measurements of two ECGs
NEAR = 0.010  # s
# Where a feature stands that is answered differently; the first that applies. At 500 Hz, as ECG-QA
# measured, a value far from every limit leaves but one cause: a rule of ours is not ECG-QA's.
NOT_DELINEABLE, NEAR_LIMIT, FAR_100, FAR_500 = REASONS = (
    "not delineable",
    "within 10 ms of a limit",
    "further off, 100 Hz",
    "further off, 500 Hz",
)
NOTES = "notes"  # nothing was measured
_LEAD = re.compile(r"\blead (aV[RLF]|V[1-6]|I{1,3})\b")


def question_of(row: Any) -> Question:
    """Which of our questions a row of ECG-QA asks (a row as from `DataFrame.itertuples`).

    Raises
    ------
    DataError
        No template, or none of its questions has the row's attributes and leads.
    """
    template = load_templates().get(row.template_id)
    names = set(row.attribute or ()) | {f"lead {lead}" for lead in _LEAD.findall(row.question)}
    questions = template.questions() if template else []
    fitting = [question for question in questions if set(question.values.values()) <= names]
    if len(fitting) != 1:
        raise DataError(
            f"ECG-QA row sample_id {row.sample_id}: {len(fitting)} questions of template "
            f"{row.template_id} fit {row.question!r}; compare templates of templates.yaml only"
        )
    return fitting[0]


def compare_answers(
    rows: pd.DataFrame, store: EcgStore, templates: Collection[int] = TEMPLATES
) -> pd.DataFrame:
    """Each row whose ECGs are in the store, answered by us.

    Parameters
    ----------
    rows : DataFrame
        As from `read_ecgqa`.
    store : EcgStore
        Prepared PTB-XL.

    Returns
    -------
    DataFrame
        `template_id, sample_id, measured ("notes", "500 Hz", or "100 Hz" where one ECG's intervals
        come from that rate), theirs, ours, agree, differing` (feature -> reason). `ours` is None
        where an ECG cannot say.
    """
    records = dict(
        zip(store.records["ecg_id"], zip(store.labels, store.attributes, strict=True), strict=True)
    )
    kept, _ = keep_known(rows[rows["template_id"].isin(templates)], records)
    out = []
    for row in kept.itertuples():
        question = question_of(row)
        pair = [records[ecg_id] for ecg_id in row.ecg_id]
        ours = answer(question, pair)
        agree = ours is not None and set(ours) == set(row.answer)
        numeric = row.attribute_type == "numeric_feature"
        known = [attributes for _, attributes in pair]
        coarse = any(attributes.get("intervals_hz") != 500 for attributes in known)
        differing = {}
        if numeric and not agree:
            named = (set(row.answer) ^ set(ours or ())) - {NONE}
            differing = {feature: _reason(feature, known, coarse) for feature in sorted(named)}
        out.append(
            {
                "template_id": row.template_id,
                "sample_id": row.sample_id,
                "measured": ("100 Hz" if coarse else "500 Hz") if numeric else NOTES,
                "theirs": row.answer,
                "ours": ours,
                "agree": agree,
                "differing": differing,
            }
        )
    columns = ["template_id", "sample_id", "measured", "theirs", "ours", "agree", "differing"]
    return pd.DataFrame(out, columns=columns)


def agreement_table(compared: pd.DataFrame) -> pd.DataFrame:
    """How often we agree, by template and by what was measured.

    Returns
    -------
    DataFrame
        `template_id, question, measured, n, agree, percent`, one column a reason (how many answers
        about a feature differ for it) and `features` ("pr interval 3, ..."), which add up to more
        than the rows that differ where a row differs in several features.
    """
    rows = []
    for (template, measured), group in compared.groupby(["template_id", "measured"]):
        pairs = [pair for differing in group["differing"] for pair in differing.items()]
        reasons = Counter(reason for _, reason in pairs)
        features = Counter(feature for feature, _ in pairs)
        rows.append(
            {
                "template_id": template,
                "question": load_templates()[template].wordings.sentence,
                "measured": measured,
                "n": len(group),
                "agree": int(group["agree"].sum()),
                "percent": round(100 * group["agree"].mean(), 2),
                **{reason: reasons[reason] for reason in REASONS},
                "features": ", ".join(f"{f} {n}" for f, n in sorted(features.items())),
            }
        )
    columns = ["template_id", "question", "measured", "n", "agree", "percent", *REASONS, "features"]
    return pd.DataFrame(rows, columns=columns)


def _reason(feature: str, known: list[Mapping], coarse: bool) -> str:
    """Where a feature of two ECGs stands; see REASONS."""
    values = [(attributes.get("intervals") or {}).get(feature, math.nan) for attributes in known]
    if not all(map(math.isfinite, values)):
        return NOT_DELINEABLE
    limits = [limit for limit in normal_ranges()[feature] if math.isfinite(limit)]
    if min(abs(value - limit) for value in values for limit in limits) <= NEAR + 1e-9:
        return NEAR_LIMIT
    return FAR_100 if coarse else FAR_500

"""Check our answers against ECG-QA's by answering its rows again from our own labels.

ECG-QA computed its answers about noise from PTB-XL's notes, and those about measurements from the
500 Hz signals. A row on which we disagree therefore points to a rule that we got wrong, or to a
measurement so close to a limit of the normal range that a few ms decide the answer.
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
# Why a feature is answered differently: the first reason that applies. ECG-QA measured at 500 Hz,
# so a 500 Hz value far from every limit leaves one explanation: our rule differs from ECG-QA's.
NOT_DELINEABLE, NEAR_LIMIT, FAR_100, FAR_500 = REASONS = (
    "not delineable",
    "within 10 ms of a limit",
    "further off, 100 Hz",
    "further off, 500 Hz",
)
NOTES = "notes"  # the answer comes from PTB-XL's notes, not from a measurement
_LEAD = re.compile(r"\blead (aV[RLF]|V[1-6]|I{1,3})\b")


def question_of(row: Any) -> Question:
    """Find which of our questions an ECG-QA row asks (a row as from `DataFrame.itertuples`).

    Raises
    ------
    DataError
        Not exactly one of our questions fits the row's template, attributes and leads.
    """
    template = load_templates().get(row.template_id)
    names = set(row.attribute or ()) | {f"lead {lead}" for lead in _LEAD.findall(row.question)}
    questions = template.questions() if template else []
    fitting = [question for question in questions if set(question.values.values()) <= names]
    if len(fitting) != 1:
        raise DataError(
            f"ECG-QA row sample_id {row.sample_id}: {len(fitting)} questions of template "
            f"{row.template_id} fit {row.question!r}, not exactly one; "
            "compare only templates in templates.yaml"
        )
    return fitting[0]


def compare_answers(
    rows: pd.DataFrame, store: EcgStore, templates: Collection[int] = TEMPLATES
) -> pd.DataFrame:
    """Answer each row whose ECGs are in the store, and compare with ECG-QA's answer.

    Parameters
    ----------
    rows : DataFrame
        As from `read_ecgqa`.
    store : EcgStore
        Prepared PTB-XL.
    templates : collection of int
        ECG-QA template ids to compare.

    Returns
    -------
    DataFrame
        `template_id, sample_id, measured, theirs, ours, agree, differing`. `measured` is "notes",
        "500 Hz", or "100 Hz" if the intervals of one ECG come from that rate. `ours` is None where
        an ECG's record does not give the answer. `differing` maps each feature that is answered
        differently to the reason.
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
    """Count how often we agree, by template and by what was measured.

    Returns
    -------
    DataFrame
        `template_id, question, measured, n, agree, percent`, one column per reason (the number of
        features answered differently for it) and `features` ("pr interval 3, ..."). One row can
        differ in several features, so these counts can add up to more than the rows that differ.
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
    """Say why a feature of two ECGs is answered differently; see REASONS."""
    values = [(attributes.get("intervals") or {}).get(feature, math.nan) for attributes in known]
    if not all(map(math.isfinite, values)):
        return NOT_DELINEABLE
    limits = [limit for limit in normal_ranges()[feature] if math.isfinite(limit)]
    if min(abs(value - limit) for value in values for limit in limits) <= NEAR + 1e-9:
        return NEAR_LIMIT
    return FAR_100 if coarse else FAR_500

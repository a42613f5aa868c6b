"""Write brief reports of a cohort's ECGs, which a language model reads in place of the ECGs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import numpy as np

from ecg_lib.data.simulated.reports import statements
from ecg_lib.knowledge.zero_shot_labels import LABEL_TEXT, zero_shot_targets
from ecg_lib.questions.templates import load_templates

if TYPE_CHECKING:
    from ecg_lib.data.store import EcgStore

Report = Callable[[str, np.random.Generator], str]  # ecg_id, rng -> a written report


def written_reports(ecgs: EcgStore, templates: Collection[int] = ()) -> Report:
    """Return a function ecg_id, rng -> report; each call puts the statements in a new order.

    If a label of Table 4 is wider than the finding ("left bundle branch block" for a complete one),
    the report states it too. LLaMA knows that one implies the other; the tiny LLM must be told.

    Parameters
    ----------
    ecgs : EcgStore
        Or tags in its place: anything with `records` and `record(ecg_id)`.
    templates : collection of int
        Ids of the templates that will be asked, which decide what a report is about. Empty means
        all.

    Returns
    -------
    callable
        From an ecg_id and a random generator to a report: statements joined by ". ".
    """
    known = load_templates()
    about = {known[t].attribute_type for t in templates or known}
    targets = zero_shot_targets(ecgs.records).fillna(False)
    targets.index = ecgs.records["ecg_id"]
    said: dict[str, list[str]] = {}

    def report(ecg_id: str, rng: np.random.Generator) -> str:
        if ecg_id not in said:
            own = statements(ecgs.record(ecg_id), about)
            wider = [LABEL_TEXT[label] for label, yes in targets.loc[ecg_id].items() if yes]
            new = [n for n in dict.fromkeys(wider) if not {n, f"possible {n}"} & set(own)]
            said[ecg_id] = [*own, *new]
        return ". ".join(said[ecg_id][i] for i in rng.permutation(len(said[ecg_id])))

    return report

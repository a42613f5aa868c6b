"""Brief written reports of a cohort's ECGs: what a language model reads in the place of an ECG."""

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
    """Return a function ecg_id, rng -> report, whose statements stand in a new order each time.

    A label of Table 4 that is wider than the finding ("left bundle branch block" for a complete
    one) is stated as well: LLaMA knows that one implies the other, the tiny LLM must be told.

    Parameters
    ----------
    ecgs : an `EcgStore`, or tags in its place, with `records` and `record(ecg_id)`
    templates : ids of the templates that will be asked, which decide what a report is about; empty
        means all
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

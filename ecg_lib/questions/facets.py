"""Define what is known about an ECG, and how a template question about it is answered.

A *facet* is a set of things known about one ECG, such as its rhythms, its kinds of noise or its
measurements out of range. It is None if the record does not give it (its cohort lacks the
attribute); the question is then not asked about this ECG. An *ask* turns one facet, or the same
facet of two ECGs, into an answer. Likelihoods follow ECG-QA's generator: 0 means "unknown" in
PTB-XL and counts as certain, as 100 does; anything between is "not sure".
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_lib.errors import DataError
from ecg_lib.knowledge.findings import is_certain, load_findings
from ecg_lib.questions.lead_facets import Facet, place_facets
from ecg_lib.questions.templates import Question
from ecg_lib.questions.vocabulary import (
    NO,
    NOT_SURE,
    YES,
    answers_in,
    canonical_order,
    in_vocabulary,
)

# Is the finding in the first and in the second ECG, if the answer is yes?
CHANGES = {
    "removed": (True, False),
    "new": (False, True),
    "still": (True, True),
    "absent": (False, False),
}


@lru_cache(maxsize=1)
def _names() -> dict[str, dict[str, str]]:
    """Return facet -> code -> the name that the facet uses for it, from the findings table."""
    table = load_findings()
    kinds = {
        kind: {
            c: n
            for c, n, k in zip(table.index, table["name"], table["kinds"], strict=True)
            if kind in k and c != "NORM"
        }
        for kind in ("diagnostic", "form", "rhythm")
    }
    admitted = set(answers_in("superclass"))
    superclass = {c: s for c, s in table["superclass"].items() if s in admitted}
    every = table["name"].drop("NORM", errors="ignore").to_dict()
    return kinds | {"superclass": superclass, "finding": every}


@lru_cache(maxsize=1)
def normal_ranges() -> dict[str, tuple[float, float]]:
    """Return feature -> (low, high) in s, bounds included (ECG-QA's limits, from ranges.csv)."""
    table = pd.read_csv(Path(__file__).parent / "ranges.csv", comment="#")
    return {
        r.feature: (-math.inf if math.isnan(r.low) else r.low, r.high) for r in table.itertuples()
    }


def _coded(kind: str, certain: bool = False) -> Callable[[Mapping, Mapping], frozenset[str]]:
    def facet(labels: Mapping[str, float], attributes: Mapping) -> frozenset[str]:
        names = _names()[kind]
        return frozenset(
            names[c]
            for c, likelihood in labels.items()
            if c in names and (is_certain(likelihood) or not certain)
        )

    return facet


def _unsure(labels: Mapping[str, float], attributes: Mapping) -> Facet:
    names = _names()["finding"]
    return frozenset(
        names[c] for c, value in labels.items() if c in names and not is_certain(value)
    )


def _without(*codes: str) -> Callable[[Mapping, Mapping], Facet]:
    return lambda labels, attributes: frozenset(c for c in labels if c not in codes)


def _other_rhythm(labels: Mapping[str, float], attributes: Mapping) -> Facet:
    names = _names()["rhythm"]
    return frozenset(names[c] for c in labels if c in names and c != "SR")


def _stage(labels: Mapping[str, float], attributes: Mapping) -> Facet:
    stage = attributes.get("infarction_stage")
    if stage:
        return frozenset({stage})
    infarcted = "myocardial infarction" in _coded("superclass")(labels, attributes)
    return None if infarcted else frozenset()


def _axis(labels: Mapping[str, float], attributes: Mapping) -> Facet:
    axis = attributes.get("heart_axis")
    return frozenset({axis}) if axis else None


def _listed(key: str) -> Callable[[Mapping, Mapping], Facet]:
    def facet(labels: Mapping[str, float], attributes: Mapping) -> Facet:
        value = attributes.get(key)
        return None if value is None else frozenset(value)

    return facet


def _place(feature: str, attributes: Mapping) -> str | None:
    """Say whether a feature is above, below or within its normal range; None if not measured."""
    value = (attributes.get("intervals") or {}).get(feature)
    if value is None or not math.isfinite(value):
        return None
    low, high = normal_ranges()[feature]
    side = "below" if value < low else "above" if value > high else "within"
    return f"{side} the normal range"


def _range_of(feature: str) -> Callable[[Mapping, Mapping], Facet]:
    def facet(labels: Mapping[str, float], attributes: Mapping) -> Facet:
        place = _place(feature, attributes)
        return None if place is None else frozenset({place})

    return facet


def _abnormal(feature: str) -> Callable[[Mapping, Mapping], Facet]:
    def facet(labels: Mapping[str, float], attributes: Mapping) -> Facet:
        place = _place(feature, attributes)
        if place is None:
            return None
        return frozenset() if place.startswith("within") else frozenset({f"abnormal {feature}"})

    return facet


def _measurements(*sides: str) -> Callable[[Mapping, Mapping], Facet]:
    def facet(labels: Mapping[str, float], attributes: Mapping) -> Facet:
        places = {feature: _place(feature, attributes) for feature in normal_ranges()}
        if all(place is None for place in places.values()):
            return None
        return frozenset(feature for feature, place in places.items() if place in sides)

    return facet


@lru_cache(maxsize=1)
def facets() -> dict[str, Callable[[Mapping, Mapping], Facet]]:
    """Return every facet by name, as a function of a record's labels and attributes."""
    ranges = answers_in("range")
    out_of_range = [r for r in ranges if not r.startswith("within")]
    table: dict[str, Callable[[Mapping, Mapping], Facet]] = {
        "finding": _coded("finding"),
        "unsure": _unsure,
        "normal": lambda labels, attributes: frozenset({"NORM"} & set(labels)),
        "abnormal": _without("NORM", "SR"),
        "superclass": _coded("superclass"),
        "diagnostic": _coded("diagnostic"),
        "certain diagnostic": _coded("diagnostic", certain=True),
        "form": _coded("form"),
        "rhythm": _coded("rhythm"),
        "other rhythm": _other_rhythm,
        "axis": _axis,
        "stage": _stage,
        "extra systole": _listed("extrasystoles"),
        "noise": _listed("noise"),
        "abnormal measurements": _measurements(*out_of_range),
    }
    table |= place_facets()
    table |= {f"measurements {place}": _measurements(place) for place in ranges}
    for feature in normal_ranges():
        table |= {
            f"range of {feature}": _range_of(feature),
            f"abnormal {feature}": _abnormal(feature),
        }
    return table


def facet_of(name: str, labels: Mapping[str, float], attributes: Mapping) -> Facet:
    """Return one facet of one ECG.

    Raises
    ------
    DataError
        There is no facet of this name.
    """
    try:
        function = facets()[name]
    except KeyError:
        raise DataError(
            f"templates.yaml: unknown facet {name!r}; use one in facets.py: {', '.join(facets())}"
        ) from None
    return function(labels, attributes)


def answer(question: Question, records: Sequence[tuple[Mapping, Mapping]]) -> list[str] | None:
    """Answer a template question from the labels of the ECGs it is asked about.

    Parameters
    ----------
    question : Question
    records : sequence of (labels, attributes)
        One ECG, or two: the previous one, then the recent one.

    Returns
    -------
    list of str or None
        The answer set in canonical order. None if a record does not give the answer, or the answer
        is not in ECG-QA's closed list.
    """
    template = question.template
    sets = [facet_of(question.bind(template.facet), *record) for record in records]
    known = [s for s in sets if s is not None]
    if len(known) < len(sets):
        return None
    if template.form == "verify":
        unsure = None if template.unsure is None else facet_of(template.unsure, *records[0])
        return verify(question, known, unsure or frozenset())
    return named(question, known)


def verify(question: Question, sets: Sequence[frozenset], unsure: frozenset) -> list[str]:
    """Answer a verify question: yes, no or not sure."""
    template = question.template
    if template.ask == "any":
        return [YES if sets[0] else NO]
    item = question.bind(template.item)
    if item in unsure:
        return [NOT_SURE]
    wanted = CHANGES.get(template.ask, (True,))
    return [YES if tuple(item in s for s in sets) == wanted else NO]


def named(question: Question, sets: Sequence[frozenset]) -> list[str] | None:
    """Answer a choose or query question; None if the answer is not in ECG-QA's closed list."""
    template = question.template
    if template.ask == "choose":
        result = sets[0] & {question.values["a"], question.values["b"]}
    elif template.ask == "query":
        result = sets[0]
    else:
        first, second = sets
        result = {"removed": first - second, "new": second - first, "still": first & second}[
            template.ask
        ]
    if not in_vocabulary(result):
        return None
    return list(canonical_order(result)) or [template.empty]


class FacetTable:
    """Facets of many records as arrays: the fast counterpart of `answer`, for building questions.

    Parameters
    ----------
    labels, attributes : sequences of dict
        One entry per record, N in all.
    """

    def __init__(self, labels: Sequence[Mapping], attributes: Sequence[Mapping]):
        self._records = list(zip(labels, attributes, strict=True))
        self._sets: dict[str, list[Facet]] = {}

    def sets(self, name: str) -> list[Facet]:
        """Return the facet of every record."""
        if name not in self._sets:
            self._sets[name] = [facet_of(name, *record) for record in self._records]
        return self._sets[name]

    def known(self, name: str) -> np.ndarray:
        """Return (N,) bool: whether the record gives the facet."""
        return np.array([s is not None for s in self.sets(name)], dtype=bool)

    def has(self, name: str, item: str | None = None) -> np.ndarray:
        """Return (N,) bool: whether `item` (or anything, if None) is in the facet."""
        if item is None:
            return np.array([bool(s) for s in self.sets(name)], dtype=bool)
        return np.array([s is not None and item in s for s in self.sets(name)], dtype=bool)

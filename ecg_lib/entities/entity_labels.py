"""Labels of reports for pre-training with entities (K-MERL, arXiv 2502.17900, section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ecg_lib.entities.entity_set import EntitySet
from ecg_lib.entities.labelled_reports import load_labels
from ecg_lib.entities.lexicon import shipped_lexicon, shipped_words

LEXICON = "lexicon"


@dataclass(frozen=True, eq=False)
class EntityLabels:
    """Which entities each report asserts.

    Attributes
    ----------
    names : tuple of Q str
        Entities, lower case. They depend on the source only and not on the reports, so that the
        columns of two splits are the same; an entity may have no positive in a split.
    matrix : (N, Q) bool
    """

    names: tuple[str, ...]
    matrix: np.ndarray


def entity_labels(source: str, reports: Sequence[str]) -> EntityLabels:
    """Label reports with entities.

    Parameters
    ----------
    source : str
        "lexicon", or a folder that `debiased-ecg mine` saved.
    reports : sequence of N str

    Raises
    ------
    DataError
        The folder holds no entities, is damaged, or does not know a report.
    """
    if source == LEXICON:
        entities = lexicon_entities()
        return EntityLabels(entities.names, entities.matrix(shipped_lexicon().mine(reports)))
    entities, labels = load_labels(source, reports)
    return EntityLabels(entities.names, labels)


@cache
def lexicon_entities() -> EntitySet:
    """Return all entities that the lexicon knows, in the order of its tables."""
    words = shipped_words()
    names = [name for means in words.wordings.values() for name in means]
    return EntitySet.of(names, superclass=words.superclasses)

"""Which entities a store's ECGs have: from their reports, or from the codes of the store itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ecg_lib.data.store import EcgStore
from ecg_lib.entities.entity_labels import entity_labels
from ecg_lib.errors import DataError
from ecg_lib.knowledge.findings import FINDINGS, name_of

CODES = "codes"  # a source of labels besides those of `entity_labels`


@dataclass(frozen=True)
class EntityTargets:
    """Entities as queries and as labels.

    Parameters
    ----------
    names : tuple of str
        The texts of Q queries.
    matrix : (N, Q) bool array
        Row i tells which entities ECG i of the store has. ECGs that were not asked for have none.
    """

    names: tuple[str, ...]
    matrix: np.ndarray

    def rates(self, rows: Sequence[int]) -> np.ndarray:
        """Return the share of positive labels of each entity over some rows, (Q,).

        Half an ECG is added to either side, so that no rate is 0 or 1.
        """
        own = self.matrix[list(rows)]
        return (own.sum(0) + 0.5) / (len(own) + 1)

    def of(self, rows: Sequence[int]) -> Tensor:
        """Return the labels of some rows as 0 and 1, (B, Q) float32."""
        return torch.from_numpy(self.matrix[list(rows)].astype(np.float32))


def entity_targets(
    source: str,
    store: EcgStore,
    reports: Sequence[str],
    rows: Sequence[int],
    valid: Sequence[int] = (),
) -> EntityTargets:
    """Return the labels of a store's ECGs, with a query for each entity that is trained on.

    An entity that no ECG of `rows` has is left out, since it could only be learnt to be absent.

    Parameters
    ----------
    source : str
        "codes": the store's own labels, at any stated likelihood, as a control without mining.
        Others as for `entity_labels`: "lexicon", or a folder of mined labels.
    store : EcgStore
    reports : sequence of str
        The report of every ECG of the store.
    rows : sequence of int
        Rows of the store that are trained on.
    valid : sequence of int
        Rows whose loss is only recorded. No report of another row is looked up.

    Raises
    ------
    DataError
        No ECG of `rows` has any of the entities.
    """
    used = [*rows, *valid]
    if source == CODES:
        own = [store.labels.iloc[i] for i in used]
        codes = [code for code in FINDINGS.index if any(code in labels for labels in own)]
        names = tuple(name_of(code) for code in codes)
        told = [[code in labels for code in codes] for labels in own]
        asserted = np.array(told, bool).reshape(len(used), len(codes))
    else:
        labels = entity_labels(source, [reports[i] for i in used])
        names, asserted = tuple(labels.names), np.asarray(labels.matrix, bool)
    matrix = np.zeros((len(reports), len(names)), bool)
    matrix[used] = asserted
    stated = np.flatnonzero(matrix[list(rows)].any(0))
    if not len(stated):
        raise DataError(
            f"objective.entities is {source!r}, but no report to train on states one of its "
            "entities; give another source"
        )
    return EntityTargets(tuple(names[i] for i in stated), matrix[:, stated])

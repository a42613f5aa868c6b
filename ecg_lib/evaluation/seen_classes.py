"""Tell which classes of a set a model was trained on: by code, and by K-MERL's similarity rule.

K-MERL calls a class seen if its name is closer than 0.95 to that of a trained entity, as measured
by a text encoder. Names of different findings can be that close (left and right bundle branch
block), and names of one finding can be far apart, so that here the code decides.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from ecg_lib.evaluation.task import Task

SIMILAR = 0.95  # K-MERL, section on seen and unseen classes
Embed = Callable[[Sequence[str]], np.ndarray]  # texts -> (n, E)


def seen_classes(
    task: Task,
    entities: Mapping[str, Collection[str]],
    embed: Embed | None = None,
    above: float = SIMILAR,
) -> pd.DataFrame:
    """Return for each class of a set whether an entity that means it was trained.

    Parameters
    ----------
    task : Task
        Its labels are the classes; the first prompt is a class's name.
    entities : mapping of str to collection of str
        Name of each trained entity -> its codes of findings.csv; none if it has no code.
    embed : callable, optional
        The text encoder, for the similarity rule.
    above : float
        Cosine above which the rule calls a class seen.

    Returns
    -------
    DataFrame
        `label`, `text`, `by_code` (nullable bool: whether an entity has one of the label's codes;
        NA for a label without codes) and `same_code` (those entities). With `embed` also
        `nearest` (entity), `similarity` (its cosine) and `by_similarity` (bool).

    Raises
    ------
    ValueError
        `embed` is given, but there are no entities.
    """
    rows = []
    for name, label in task.labels.items():
        same = [entity for entity, codes in entities.items() if set(codes) & set(label.codes)]
        seen = bool(same) if label.codes else pd.NA
        rows.append(
            {"label": name, "text": label.prompts[0], "by_code": seen, "same_code": tuple(same)}
        )
    table = pd.DataFrame(rows).astype({"by_code": "boolean"})
    if embed is None:
        return table
    if not entities:
        raise ValueError("there are no entities to compare with; give at least one")
    known, asked = _units(embed(list(entities))), _units(embed(list(table["text"])))
    cosine = asked @ known.T  # (classes, entities)
    nearest, names = cosine.argmax(1), list(entities)
    similarity = cosine[np.arange(len(cosine)), nearest]
    return table.assign(
        nearest=[names[at] for at in nearest],
        similarity=similarity,
        by_similarity=similarity > above,
    )


def _units(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, float)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

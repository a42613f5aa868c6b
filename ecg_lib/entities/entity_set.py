"""The set of entities that a corpus of reports is labelled with, and its superclasses.

K-MERL (arXiv 2502.17900), section 3.4: names of the same meaning are merged, and superclasses are
added to the list. A superclass is positive where one of its members is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ecg_lib.entities.mention import ASSERTED, Mention
from ecg_lib.errors import DataError

FORMAT = 1


@dataclass(frozen=True)
class EntitySet:
    """Entities and what belongs to them.

    Attributes
    ----------
    members : mapping of str to tuple of str
        Entity -> the mined names that mean it, at least one.
    superclass : mapping of str to tuple of str
        Superclass -> its members: entities or other superclasses. A superclass that has the name of
        an entity is that entity; it is also positive where its own names are.

    Raises
    ------
    DataError
        A name means two entities, a member does not exist, or a superclass is among its own
        members.
    """

    members: Mapping[str, tuple[str, ...]]
    superclass: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for entity, names in self.members.items():
            for name in names:
                if seen.setdefault(name, entity) != entity:
                    raise DataError(
                        f"entities: {name!r} means {seen[name]!r} and {entity!r}; keep one of them"
                    )
        for above, below in self.superclass.items():
            for name in below:
                if name not in self.members and name not in self.superclass:
                    raise DataError(
                        f"entities: superclass {above!r} holds {name!r}, which is no entity; "
                        "remove it"
                    )
        for name in self.superclass:
            if name in self._below(name):
                raise DataError(f"entities: superclass {name!r} holds itself; remove the circle")

    @classmethod
    def of(
        cls,
        names: Iterable[str],
        merged: Mapping[str, str] | None = None,
        superclass: Mapping[str, Sequence[str]] | None = None,
    ) -> EntitySet:
        """Build a set from mined names.

        Parameters
        ----------
        names : iterable of str
            In the order of the entities.
        merged : mapping of str to str, optional
            Mined name -> name of the entity; a name that is not in it stays.
        superclass : mapping of str to sequence of str, optional
            Members that are mined names stand for their entities, unknown ones are left out. A
            superclass of fewer than two members would be an entity twice and is left out, unless it
            is an entity itself.
        """
        names = list(dict.fromkeys(names))
        own = merged or {}
        members: dict[str, tuple[str, ...]] = {}
        for name in names:
            entity = own.get(name, name)
            members[entity] = (*members.get(entity, ()), name)
        entity_of = {n: entity for entity, own_names in members.items() for n in own_names}
        supers: dict[str, tuple[str, ...]] = {}
        for above, below in (superclass or {}).items():
            here = entity_of.get(above, above)
            found = (entity_of.get(name, name) for name in below)
            inside = [n for n in dict.fromkeys(found) if n in members and n != here]
            inside = list(dict.fromkeys([*supers.get(here, ()), *inside]))
            if len(inside) > 1 or (inside and here in members):
                supers[here] = tuple(inside)
        return cls(members, _without_circles(supers))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns: entities, then the superclasses that are no entities themselves."""
        return (*self.members, *(name for name in self.superclass if name not in self.members))

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the set, independent of the order of mappings' keys but not of the columns."""
        text = json.dumps([self.names, self.as_json()], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def as_json(self) -> dict:
        """Return the set as JSON-compatible dictionaries."""
        return {
            "members": {name: list(own) for name, own in self.members.items()},
            "superclass": {name: list(own) for name, own in self.superclass.items()},
        }

    @classmethod
    def from_json(cls, values: Mapping) -> EntitySet:
        """Build what `as_json` returned."""
        parts = (
            {k: tuple(v) for k, v in values[name].items()} for name in ("members", "superclass")
        )
        return cls(*parts)

    def matrix(
        self, mentions: Sequence[Sequence[Mention]], polarities: Iterable[str] = (ASSERTED,)
    ) -> np.ndarray:
        """Label reports by their mentions.

        Parameters
        ----------
        mentions : N sequences of Mention
            Those of names that are not in the set are left out.
        polarities : iterable of str
            Which mentions make an entity positive; by default only asserted ones.

        Returns
        -------
        (N, Q) bool
            Columns as in `names`.
        """
        counted, column = set(polarities), {name: k for k, name in enumerate(self.names)}
        at = {n: column[entity] for entity, own in self.members.items() for n in own}
        labels = np.zeros((len(mentions), len(column)), bool)
        for row, found in enumerate(mentions):
            columns = [at[m.name] for m in found if m.polarity in counted and m.name in at]
            labels[row, columns] = True
        return self.with_superclasses(labels)

    def with_superclasses(self, labels: np.ndarray) -> np.ndarray:
        """Return labels (N, Q) in which each superclass of a positive entity is positive too."""
        column = {name: k for k, name in enumerate(self.names)}
        whole = labels.copy()
        for name in self.superclass:
            below = [column[member] for member in self._below(name)]
            whole[:, column[name]] |= labels[:, below].any(1)
        return whole

    def _below(self, name: str) -> tuple[str, ...]:
        """Return all that a superclass holds, also through other superclasses."""
        found: dict[str, None] = {}
        todo = list(self.superclass.get(name, ()))
        while todo:
            member = todo.pop()
            if member not in found:
                found[member] = None
                todo += self.superclass.get(member, ())
        return tuple(found)


def _without_circles(supers: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Leave out members that would close a circle, as answers of a language model may."""
    kept: dict[str, tuple[str, ...]] = {}

    def reaches(start: str, goal: str) -> bool:
        return start == goal or any(reaches(member, goal) for member in kept.get(start, ()))

    for above, below in supers.items():
        for member in below:
            if not reaches(member, above):
                kept[above] = (*kept.get(above, ()), member)
    return kept

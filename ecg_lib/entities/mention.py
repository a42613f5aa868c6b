"""A mention of an entity in a report, and what the report says about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

ASSERTED, DOUBTED, DENIED = "asserted", "doubted", "denied"
POLARITIES = (ASSERTED, DOUBTED, DENIED)


@dataclass(frozen=True)
class Mention:
    """One place at which a report speaks of an entity.

    Attributes
    ----------
    name : str
        Name of the entity, in lower case.
    text : str
        The words of the report; for a language model's answer, the words of the answer.
    polarity : {"asserted", "doubted", "denied"}
    span : tuple of int, or None
        Where `text` begins and ends in the report; None if the report does not hold it literally.

    Raises
    ------
    ValueError
        The polarity is none of the three.
    """

    name: str
    text: str
    polarity: str = ASSERTED
    span: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.polarity not in POLARITIES:
            raise ValueError(f"polarity is {self.polarity!r}; choose one of {POLARITIES}")


class Miner(Protocol):
    """Anything that finds mentions in reports; reports are given together, and may repeat."""

    def mine(self, reports: Sequence[str]) -> list[list[Mention]]:
        """Return the mentions in each report, in the order of the reports."""


def named(text: str) -> str:
    """Return the name that a text gives an entity: lower case, single spaces, no full stop."""
    return " ".join(text.lower().split()).strip(" .\"'`")

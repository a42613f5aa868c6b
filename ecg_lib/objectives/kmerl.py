"""K-MERL: ECGs contrasted with their reports, and asked for the entities that the reports state.

Anonymous authors, "Knowledge-enhanced Multimodal ECG Representation Learning with Arbitrary-Lead
Inputs", submitted to ICLR 2025. Leads and segments are masked in training (section 3.3). A query
network reads the entities (section 3.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ecg_lib.errors import ConfigError
from ecg_lib.objectives.parts.merl_clip import QUERIES, EntityReading
from ecg_lib.objectives.parts.merl_parts import MerlParts, MerlSettings
from ecg_lib.objectives.parts.query_network import QuerySizes


@dataclass(frozen=True, kw_only=True)
class Settings(MerlSettings):
    """Hyperparameters; `conf/objective/kmerl.yaml` gives their values and where they come from."""

    queries: str  # names, or random: a fixed random vector per name, as a control
    query_network: QuerySizes = field(default_factory=QuerySizes)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.queries not in QUERIES:
            raise ConfigError(f"queries is {self.queries!r}; choose {', '.join(QUERIES)}")


class Objective(MerlParts):
    """Contrast with reports, and entities by a query network."""

    settings: Settings

    def reading(self, names: Sequence[str]) -> EntityReading:
        """Return a query network that is asked the entities' names."""
        settings = self.settings
        return EntityReading(
            names=tuple(names), network=settings.query_network, queries=settings.queries
        )

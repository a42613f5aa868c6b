"""Provenance of a number: hashes of parameters, data and code, stamped on every result row.

Only parameters and code of the notebook that computes the number count, not those of other
notebooks. Code is hashed by its syntax tree and not by its commit, because committing a table must
not change the hash.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from ecg_lib import stages
from ecg_lib.errors import DataError

_LENGTH = 16  # hexadecimal digits kept: enough to tell runs apart, short enough for a table


def params_hash(config: Mapping[str, Any], sections: Iterable[str] | None = None) -> str:
    """Hash a configuration, or the named sections of it; the order of keys does not matter.

    Raises
    ------
    DataError
        A named section is not in the configuration.
    """
    if sections is not None:
        missing = sorted(set(sections) - set(config))
        if missing:
            raise DataError(f"params hash: no section {missing[0]!r}; use {', '.join(config)}")
        config = {name: config[name] for name in sections}
    return _digest(json.dumps(config, sort_keys=True, default=str).encode())


def data_hash(*hashes: str) -> str:
    """Return one hash for all stores and question sets used; their order does not matter."""
    return _digest("\n".join(sorted(hashes)).encode())


@dataclass(frozen=True)
class Provenance:
    """Stamps of a result row; empty strings for published numbers."""

    profile: str = ""
    params_hash: str = ""
    data_hash: str = ""
    code_hash: str = ""
    seeds: str = ""

    @classmethod
    def of(
        cls,
        profile: str,
        config: Mapping[str, Any],
        data: Sequence[str],
        seeds: Iterable[int] | int = (),
        notebook: str = "",
    ) -> "Provenance":
        """Build the provenance of a run from its configuration, data hashes and seeds.

        Parameters
        ----------
        notebook : str
            Notebook that computes the row: its path below notebooks/, without suffix. If it is
            "", all parameters count and there is no code hash.
        """
        seeds = [seeds] if isinstance(seeds, int) else seeds
        stage = stages.notebook_stage(notebook) if notebook else None
        return cls(
            profile=profile,
            params_hash=params_hash(config, stages.parameters(stage) if stage else None),
            data_hash=data_hash(*data),
            code_hash=stage.code_hash(config) if stage else "",
            seeds=" ".join(str(seed) for seed in seeds),
        )

    def stamp(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the frame with this provenance in its columns."""
        return frame.assign(**asdict(self))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_LENGTH]

"""Where a number comes from: hashes of parameters, data and code, stamped on every result row.

Parameters and code are those of the notebook that computes it: what others read or run does not
count. Code is hashed by what it means, not by commit: committing a table must not change it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from ecg_lib import stages
from ecg_lib.errors import DataError

_LENGTH = 16  # hexadecimal digits kept: plenty to tell runs apart, short enough for a table


def params_hash(config: Mapping[str, Any], sections: Iterable[str] | None = None) -> str:
    """Hash of a configuration, or of the named sections of it; the order of keys does not count.

    Raises
    ------
    DataError
        A section is not in the configuration.
    """
    if sections is not None:
        missing = sorted(set(sections) - set(config))
        if missing:
            raise DataError(f"params hash: no section {missing[0]!r}; use {', '.join(config)}")
        config = {name: config[name] for name in sections}
    return _digest(json.dumps(config, sort_keys=True, default=str).encode())


def data_hash(*hashes: str) -> str:
    """One hash for all stores and question sets used, in any order."""
    return _digest("\n".join(sorted(hashes)).encode())


@dataclass(frozen=True)
class Provenance:
    """What stamps a result row; empty strings for published numbers."""

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
        """Provenance of a run: its configuration, the hashes of its data, its seeds.

        Parameters
        ----------
        notebook : that computes, by its path below notebooks/ without suffix; "" where none does:
            then all parameters count, and there is no code hash
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
        """The frame with this provenance in its columns."""
        return frame.assign(**asdict(self))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_LENGTH]

"""Where a number comes from: hashes of parameters, data and code, stamped on every result row.

The code hash is taken over sources, not over the commit: committing a table must not change it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ecg_lib.errors import DataError

_SOURCES = ("*.py", "*.yaml", "*.csv")
_LENGTH = 16  # hexadecimal digits kept: plenty to tell runs apart, short enough for a table


def params_hash(config: Mapping[str, Any], sections: Iterable[str] | None = None) -> str:
    """Hash of a configuration, or of the named sections of it; the order of keys does not count.

    Raises
    ------
    DataError
        A section is not in the configuration.
    """
    plain = _plain(config)
    if sections is not None:
        missing = sorted(set(sections) - set(plain))
        if missing:
            raise DataError(f"params hash: no section {missing[0]!r}; use {', '.join(plain)}")
        plain = {name: plain[name] for name in sections}
    return _digest(json.dumps(plain, sort_keys=True, default=str).encode())


def data_hash(*hashes: str) -> str:
    """One hash for all stores and question sets used, in any order."""
    return _digest("\n".join(sorted(hashes)).encode())


def code_hash(folder: Path | None = None) -> str:
    """Hash of the library's sources: paths and contents of its .py, .yaml and .csv files."""
    folder = folder or Path(__file__).resolve().parent.parent
    files = sorted({f for pattern in _SOURCES for f in folder.rglob(pattern)})
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes().replace(b"\r\n", b"\n")  # the same on every system
        name = file.relative_to(folder).as_posix()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:_LENGTH]


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
        sections: Iterable[str] | None = None,
    ) -> "Provenance":
        """Provenance of a run: its configuration, the hashes of its data, its seeds."""
        seeds = [seeds] if isinstance(seeds, int) else seeds
        return cls(
            profile=profile,
            params_hash=params_hash(config, sections),
            data_hash=data_hash(*data),
            code_hash=code_hash(),
            seeds=" ".join(str(seed) for seed in seeds),
        )

    def stamp(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame with this provenance in its columns."""
        return frame.assign(**asdict(self))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key]) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    return value


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_LENGTH]

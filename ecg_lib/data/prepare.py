"""Prepare a store from the name of a cohort and its folder."""

from __future__ import annotations

import importlib
import os
import pkgutil
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeGuard

from ecg_lib.data.folders import locate
from ecg_lib.data.record import Source
from ecg_lib.data.store import EcgStore
from ecg_lib.data.write_store import write_store
from ecg_lib.errors import DataError
from ecg_lib.signal.resample import STANDARD_RATE

_MOST_HZ = 10_000  # no ECG is recorded at more
SIMULATED = "simulated"  # the cohort whose number of patients can be chosen
_SOURCES = "ecg_lib.data.sources"  # package whose files register themselves
_QUESTIONS = {"ecgqa": "ptbxl/train_ecgs.tsv"}  # no ECGs, but found below a data root too


class Cohort(Source, Protocol):
    """A source that can be prepared by name; `record.Source` describes the two constants."""

    NAME: ClassVar[str]
    SIGNATURE: ClassVar[str | None]


def sources() -> dict[str, type[Cohort]]:
    """Return the source class of each cohort that can be prepared, sorted by name.

    Raises
    ------
    DataError
        Two sources have the same name.
    """
    found: dict[str, type[Cohort]] = {}
    for file in pkgutil.iter_modules(importlib.import_module(_SOURCES).__path__):
        module = importlib.import_module(f"{_SOURCES}.{file.name}")
        for kind in vars(module).values():
            if _is_cohort(kind):
                if found.setdefault(kind.NAME, kind) is not kind:
                    raise DataError(
                        f"{module.__file__}: another source is named {kind.NAME}; rename one"
                    )
    return dict(sorted(found.items()))


def _is_cohort(kind: Any) -> TypeGuard[type[Cohort]]:
    return isinstance(kind, type) and hasattr(kind, "SIGNATURE")


def signatures() -> dict[str, str]:
    """Return, per cohort, the file or folder by which it is recognised below a data root.

    The names of the cohort folders themselves differ between downloads.
    """
    of_sources = {name: kind.SIGNATURE for name, kind in sources().items() if kind.SIGNATURE}
    return of_sources | _QUESTIONS


def build_source(
    name: str, root: str | os.PathLike | None, rate: int = STANDARD_RATE, **options: Any
) -> Source:
    """Build the source of a cohort.

    Parameters
    ----------
    name : str
        A key of `sources()`.
    root : str or path or None
        The cohort's folder, or one up to two levels above it. Not used for "simulated".
    rate : int, Hz
        Sampling rate of the records.
    **options
        Passed to the source, e.g. `method="polyphase"`, `ecgqa_root=...`.

    Raises
    ------
    DataError
        The name is unknown, the rate is impossible, the root is missing, or the folder lacks the
        cohort's files.
    """
    kind = _known(name, sources())
    if not 1 <= rate <= _MOST_HZ:
        raise DataError(f"rate is {rate} Hz; give 1 or more, at most {_MOST_HZ:,}")
    if not kind.SIGNATURE:
        return kind(rate=rate, **options)
    if root is None:
        raise DataError(
            f"cohort {name} needs data.root; set it to the folder that holds {kind.SIGNATURE}"
        )
    return kind(root, rate=rate, **options)


def find_cohort(data_root: str | os.PathLike, name: str) -> Path:
    """Return the folder of a cohort (or of "ecgqa") at most two levels below a data root."""
    return locate(data_root, _known(name, signatures()), name)


def prepare(
    name: str,
    root: str | os.PathLike | None,
    out: str | os.PathLike,
    workers: int = 1,
    reuse: bool = False,
    rate: int = STANDARD_RATE,
    **options: Any,
) -> EcgStore:
    """Read a cohort into a store at `out`, see `build_source` and `write_store`."""
    return write_store(out, build_source(name, root, rate, **options), workers=workers, reuse=reuse)


def _known(name: str, among: dict[str, Any]) -> Any:
    if name not in among:
        raise DataError(f"unknown cohort {name!r}; choose one of {', '.join(sorted(among))}")
    return among[name]

"""From the name of a cohort and a folder to a prepared store."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ecg_lib.data.folders import locate
from ecg_lib.data.record import Source
from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.sources.challenge import Challenge
from ecg_lib.data.sources.cpsc2018 import Cpsc2018
from ecg_lib.data.sources.ludb import Ludb
from ecg_lib.data.sources.mimic_iv_ecg import MimicIvEcg
from ecg_lib.data.sources.ptbxl import PtbXl
from ecg_lib.data.store import EcgStore, write_store
from ecg_lib.errors import DataError

SIMULATED = "simulated"  # the one cohort without a folder
_SHAOXING = ("chapman_shaoxing", "ningbo")  # Chapman University and Shaoxing, then Ningbo

SOURCES: Mapping[str, Callable[..., Source]] = MappingProxyType(
    {
        "ptbxl": PtbXl,
        "mimic_iv_ecg": MimicIvEcg,
        "ludb": Ludb,
        "cpsc": partial(Challenge, sources=("cpsc_2018",), name="cpsc"),
        "cpsc2018": Cpsc2018,
        "shaoxing": partial(Challenge, sources=_SHAOXING, name="shaoxing"),
        "georgia": partial(Challenge, sources=("georgia",), name="georgia"),
        "challenge": Challenge,
        SIMULATED: SimulatedCohort,
    }
)
# What to look for below a data root; folder names differ from download to download.
SIGNATURES: Mapping[str, str] = MappingProxyType(
    {
        "ptbxl": "ptbxl_database.csv",
        "mimic_iv_ecg": "record_list.csv",
        "ludb": "ludb.csv",
        "cpsc": "training/cpsc_2018",
        "cpsc2018": "REFERENCE*.csv",
        "shaoxing": "training/ningbo",
        "georgia": "training/georgia",
        "challenge": "training/*",
        "ecgqa": "ptbxl/train_ecgs.tsv",
    }
)


def build_source(name: str, root: str | os.PathLike | None, **options: Any) -> Source:
    """The source of a cohort.

    Parameters
    ----------
    name : a key of `SOURCES`
    root : its folder, or a folder up to two levels above; not read for "simulated"
    options : for the source, e.g. `method="polyphase"`, `ecgqa_root=...`

    Raises
    ------
    DataError
        Unknown name, no root, or a folder without the cohort's files.
    """
    if name not in SOURCES:
        raise DataError(f"unknown cohort {name!r}: choose one of {', '.join(sorted(SOURCES))}")
    if name == SIMULATED:
        return SOURCES[name](**options)
    if root is None:
        raise DataError(f"cohort {name} needs data.root: the folder with {SIGNATURES[name]}")
    return SOURCES[name](root, **options)


def find_cohort(data_root: str | os.PathLike, name: str) -> Path:
    """Folder of a cohort (or of ECG-QA: "ecgqa") at most two levels below a data root."""
    if name not in SIGNATURES:
        raise DataError(f"unknown cohort {name!r}: choose one of {', '.join(sorted(SIGNATURES))}")
    return locate(data_root, SIGNATURES[name], name)


def prepare(
    name: str,
    root: str | os.PathLike | None,
    out: str | os.PathLike,
    workers: int = 1,
    reuse: bool = False,
    **options: Any,
) -> EcgStore:
    """Read a cohort into a store at `out`; see `build_source` and `store.write_store`."""
    return write_store(out, build_source(name, root, **options), workers=workers, reuse=reuse)

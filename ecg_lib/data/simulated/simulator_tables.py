"""Read the simulator's medical knowledge from three tables that a cardiologist can edit.

`waves.yaml` has the wave vectors of the normal beat and of each finding, `population.yaml` the
prevalences and the noise, and `phrases.yaml` the wording of reports. They are validated here, once,
with error messages that name the wrong field.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ecg_lib.errors import DataError

FOLDER = Path(__file__).parent
FILES = ("waves.yaml", "population.yaml", "phrases.yaml")
GROUPS = ("p", "qrs", "t")
OPERATIONS = {"to", "add", "times", "at_ms", "sd_ms"}


@dataclass(frozen=True)
class Change:
    """Effect of one finding on the waves, as arrays over the S slots of a beat.

    `to`, `add` and `times` are (S, 3), `at` is (S,) in s, and `sd` is (S, 2) in s. `has_to`,
    `moved` and `widened` mark the slots whose vector is replaced or whose time or width changes.
    `squeeze` is the time scale of the QRS in the fastest and the slowest heart, None if the finding
    does not change it. `axis` (degrees) and `sokolow` (mV at the least and at full grade) are the
    criteria without which readers do not report the finding, None if there are none.
    """

    grade: tuple[float, float]
    has_to: np.ndarray
    to: np.ndarray
    add: np.ndarray
    times: np.ndarray
    moved: np.ndarray
    at: np.ndarray
    widened: np.ndarray
    sd: np.ndarray
    squeeze: tuple[float, float] | None
    pr: tuple[float, float] | None
    t_delay: float
    injury: np.ndarray | None
    axis: tuple[float, float] | None
    sokolow: tuple[float, float] | None


@dataclass(frozen=True)
class Waves:
    """`waves.yaml` as arrays in mV and seconds."""

    slots: tuple[str, ...]
    group: dict[str, np.ndarray]  # p, qrs or t -> slot numbers
    mv: np.ndarray  # (S, 3)
    at: np.ndarray  # (S,)
    sd: np.ndarray  # (S, 2)
    squeeze: float
    timing: dict[str, Any]
    chest: np.ndarray  # (6, S) factor of each wave in V1..V6
    changes: dict[str, Change]
    stages: dict[str, dict[str, float]]


def _read(name: str) -> dict[str, Any]:
    table = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    if not isinstance(table, dict):
        raise DataError(f"{name}: expected a mapping of fields, found {type(table).__name__}")
    return table


def _numbers(value: Any, shape: tuple[int, ...], where: str) -> np.ndarray:
    try:
        return np.broadcast_to(np.asarray(value, dtype=float), shape).copy()
    except (TypeError, ValueError):
        raise DataError(f"{where}: expected numbers of shape {shape}, found {value!r}") from None


def _change(name: str, entry: dict[str, Any], slots: tuple[str, ...]) -> Change:
    where = f"waves.yaml: findings.{name}"
    known = {"grade", "waves", "squeeze", "pr_ms", "t_delay_ms", "injury", "axis_deg"}
    known |= {"sokolow_mv"}
    if unknown := set(entry) - known:
        raise DataError(f"{where}: unknown field {sorted(unknown)[0]}; choose from {sorted(known)}")
    low, high = _numbers(entry.get("grade"), (2,), f"{where}.grade")
    if not 0 <= low <= high <= 1:
        raise DataError(f"{where}.grade: need 0 <= low <= high <= 1, found {low}, {high}")
    n = len(slots)
    to, add, times = np.zeros((n, 3)), np.zeros((n, 3)), np.ones((n, 3))
    at, sd = np.zeros(n), np.ones((n, 2))
    has_to, moved, widened = (np.zeros(n, dtype=bool) for _ in range(3))
    for slot, operations in (entry.get("waves") or {}).items():
        if slot not in slots:
            raise DataError(f"{where}.waves: unknown wave {slot}; choose from {', '.join(slots)}")
        if unknown := set(operations) - OPERATIONS:
            raise DataError(
                f"{where}.waves.{slot}: unknown operation {sorted(unknown)[0]}; "
                f"choose from {sorted(OPERATIONS)}"
            )
        i, here = slots.index(slot), f"{where}.waves.{slot}"
        if "to" in operations:
            has_to[i], to[i] = True, _numbers(operations["to"], (3,), here)
        if "add" in operations:
            add[i] = _numbers(operations["add"], (3,), here)
        if "times" in operations:
            times[i] = _numbers(operations["times"], (3,), here)
        if "at_ms" in operations:
            moved[i], at[i] = True, float(operations["at_ms"]) / 1000
        if "sd_ms" in operations:
            widened[i], sd[i] = True, _numbers(operations["sd_ms"], (2,), here) / 1000
            if (sd[i] <= 0).any():
                raise DataError(f"{here}.sd_ms: widths must be positive")
    pr = entry.get("pr_ms")
    injury = entry.get("injury")

    def pair(field: str) -> tuple[float, float] | None:
        if field not in entry:
            return None
        first, last = _numbers(entry[field], (2,), f"{where}.{field}")
        if first > last:
            raise DataError(f"{where}.{field}: need low <= high, found {first:g}, {last:g}")
        return float(first), float(last)

    return Change(
        grade=(float(low), float(high)),
        has_to=has_to,
        to=to,
        add=add,
        times=times,
        moved=moved,
        at=at,
        widened=widened,
        sd=sd,
        squeeze=pair("squeeze"),
        pr=None if pr is None else (pr[0] / 1000, pr[1] / 1000),
        t_delay=float(entry.get("t_delay_ms", 0)) / 1000,
        injury=None if injury is None else _numbers(injury, (3,), f"{where}.injury"),
        axis=pair("axis_deg"),
        sokolow=pair("sokolow_mv"),
    )


@lru_cache(maxsize=1)
def waves() -> Waves:
    """Read the normal beat and the changes by each finding.

    Raises
    ------
    DataError
        A field is not valid; the message names it.
    """
    table = _read("waves.yaml")
    slots = tuple(table["slots"])
    if bad := [s for s in slots if table["slots"][s] not in GROUPS]:
        raise DataError(f"waves.yaml: slots.{bad[0]} must be one of {', '.join(GROUPS)}")
    if missing := [s for s in slots if s not in table["normal"]]:
        raise DataError(f"waves.yaml: normal.{missing[0]} is missing; add it")
    normal = [table["normal"][s] for s in slots]
    sd = _numbers([w["sd_ms"] for w in normal], (len(slots), 2), "waves.yaml: normal sd_ms") / 1000
    if (sd <= 0).any():
        raise DataError("waves.yaml: normal: widths (sd_ms) must be positive")
    return Waves(
        slots=slots,
        group={
            g: np.array([i for i, s in enumerate(slots) if table["slots"][s] == g]) for g in GROUPS
        },
        mv=_numbers([w["mv"] for w in normal], (len(slots), 3), "waves.yaml: normal mv"),
        at=_numbers([w["at_ms"] for w in normal], (len(slots),), "waves.yaml: normal at_ms") / 1000,
        sd=sd,
        squeeze=float(table["squeeze"]),
        timing=table["timing"],
        chest=np.stack(
            [
                _numbers(table["chest"].get(table["slots"][s], 1.0), (6,), "waves.yaml: chest")
                for s in slots
            ],
            axis=1,
        ),
        changes={k: _change(k, v, slots) for k, v in table["findings"].items()},
        stages=table["stages"],
    )


@lru_cache(maxsize=1)
def population() -> dict[str, Any]:
    """Read prevalences, courses, rhythm, constitution and noise (`population.yaml`).

    Raises
    ------
    DataError
        A field is not valid; the message names it.
    """
    table = _read("population.yaml")
    groups = {entry["group"] for entry in table["diseases"].values()}
    for code, entry in table["diseases"].items():
        where = f"population.yaml: diseases.{code}"
        if code not in waves().changes and code not in table["atrial"]:
            raise DataError(f"{where}: has no waves; add it to waves.yaml under findings")
        if not entry["weight"] >= 0:
            raise DataError(f"{where}.weight: must not be negative")
        if entry["course"] not in ("chronic", "paroxysmal", "acute"):
            raise DataError(f"{where}.course: must be chronic, paroxysmal or acute")
        if unknown := set(entry.get("excludes", ())) - groups:
            raise DataError(
                f"{where}.excludes: unknown group {sorted(unknown)[0]}; "
                f"choose from {', '.join(sorted(groups))}"
            )
    if abs(sum(table["ecgs_per_patient"]) - 1) > 1e-9:
        raise DataError("population.yaml: ecgs_per_patient must sum to 1")
    return table


@lru_cache(maxsize=1)
def phrases() -> dict[str, Any]:
    """Read the wordings of reports (`phrases.yaml`).

    Raises
    ------
    DataError
        A disease has no wording, or a negation names an unknown code.
    """
    table = _read("phrases.yaml")
    if missing := [c for c in population()["diseases"] if not table["findings"].get(c)]:
        raise DataError(f"phrases.yaml: findings.{missing[0]} needs at least one wording")
    for number, entry in enumerate(table["negations"]):
        if unknown := set(entry["none_of"]) - set(table["findings"]):
            raise DataError(
                f"phrases.yaml: negations.{number}.none_of: unknown code {min(unknown)}; "
                "give codes that have a wording under findings"
            )
    return table


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """Return eight hex digits that change when a table changes; part of the cohort's version."""
    content = b"".join((FOLDER / name).read_bytes() for name in FILES)
    return hashlib.sha256(content).hexdigest()[:8]

"""Limits of the numbers of a configuration, so that none asks for the impossible or for days."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ecg_lib.errors import ConfigError

_SIZE, _MANY = (1, 100_000), (1, 1_000_000)
_BETWEEN = {  # last part of a field's name -> least and greatest value
    "rate": (1, 10_000),  # Hz
    "depth": (1, 1_000),
    "resamples": (2, 1_000_000),
    "threads": (1, 10_000),
    "workers": (-1, 10_000),  # -1: what joblib chooses
    **dict.fromkeys(
        ("width", "mlp", "heads", "patch", "max_tokens", "r", "projector_layers"), _SIZE
    ),
    **dict.fromkeys(("batch_size", "vocabulary", "questions_per_ecg", "max_new_tokens"), _MANY),
}
_OTHERS = (0, 2**32 - 1)  # the greatest seed
_DTYPES = ("float32", "float16", "bfloat16")


def check_limits(values: Mapping[str, Any], where: str) -> None:
    """Check every number of a configuration.

    Parameters
    ----------
    values : mapping
        The configuration as nested dictionaries.
    where : str
        The origin of the values, for error messages.

    Raises
    ------
    ConfigError
        A number is beyond its limits, infinite or no number, or `llm.dtype` is unknown.
    """
    for path, value in _numbers(values, ""):
        low, high = _BETWEEN.get(path.rpartition(".")[2], _OTHERS)
        if not (math.isfinite(value) and low <= value <= high):
            raise ConfigError(f"{where}: {path} is {value:g}; give a number from {low} to {high:,}")
    if (dtype := values["llm"]["dtype"]) not in _DTYPES:
        raise ConfigError(f"{where}: llm.dtype is {dtype!r}; choose {', '.join(_DTYPES)}")


def _numbers(values: Any, path: str) -> Iterator[tuple[str, float]]:
    """Yield the numbers in nested dictionaries and lists, with their paths."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from _numbers(value, f"{path}.{key}" if path else str(key))
    elif isinstance(values, (list, tuple)):
        for value in values:
            yield from _numbers(value, path)
    elif isinstance(values, (int, float)) and not isinstance(values, bool):
        yield path, values

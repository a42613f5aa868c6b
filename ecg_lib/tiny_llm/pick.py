"""Random choice of one of several options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Option = TypeVar("Option")


def pick(rng: np.random.Generator, options: Sequence[Option]) -> Option:
    """Draw one of the options uniformly."""
    return options[int(rng.integers(len(options)))]

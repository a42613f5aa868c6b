"""Helpers for the processes of one launcher: their number, the first one, and a barrier."""

from __future__ import annotations

import os

from torch import distributed


def processes() -> int:
    """Return the number of processes that are connected and train together."""
    ready = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if ready else 1


def launched() -> int:
    """Return the number of processes that the launcher started, connected or not."""
    return int(os.environ.get("WORLD_SIZE", "1"))  # set by torchrun and accelerate


def is_first() -> bool:
    """Return whether this is the first process, which handles the files."""
    return int(os.environ.get("RANK", "0")) == 0


def wait() -> None:
    """Wait until every process has reached this point."""
    if processes() > 1:
        distributed.barrier()

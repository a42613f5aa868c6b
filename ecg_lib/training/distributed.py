"""The processes of one launcher: how many there are, which one looks after files, waiting."""

from __future__ import annotations

import os

from torch import distributed


def processes() -> int:
    """How many processes train together."""
    ready = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if ready else 1


def launched() -> int:
    """How many processes the launcher started, which may not have met yet."""
    return int(os.environ.get("WORLD_SIZE", "1"))  # torchrun's and accelerate's convention


def is_first() -> bool:
    """Whether this process is the one that looks after files."""
    return int(os.environ.get("RANK", "0")) == 0


def wait() -> None:
    """Let every process come to this point."""
    if processes() > 1:
        distributed.barrier()

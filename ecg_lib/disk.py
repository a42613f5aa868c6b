"""Writing that says in one line why a disk refuses, and one run at a time per folder."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from filelock import FileLock, Timeout

from ecg_lib.errors import DataError, EcgLibError
from ecg_lib.files import write_atomically

_FULL = "no space left on the disk; free some and run it again"
_CLOSED = "permission denied; make it readable and writable, or choose another folder"
_CAUSES = MappingProxyType(
    {
        errno.ENOSPC: _FULL,
        errno.EDQUOT: _FULL,
        errno.EFBIG: _FULL,
        errno.EACCES: _CLOSED,
        errno.EPERM: _CLOSED,
        errno.EROFS: _CLOSED,
        errno.EISDIR: "a folder lies where a file belongs; move it away and run it again",
        errno.ENOTDIR: "a file lies where a folder belongs; move it away and run it again",
        errno.EEXIST: "a file lies where a folder belongs; move it away and run it again",
    }
)
# Libraries in other languages, and NumPy, name no errno.
_WORDS = re.compile(
    r"os error (\d+)|requested and (?:\d+) written|PytorchStreamWriter failed"
    r"|inline_container|iostream error"
)
_PAGES = 1 << 14  # bytes: a few pages
_LEFT = re.compile(r"-(\d+)$")


@contextmanager
def writing(place: str | os.PathLike) -> Iterator[None]:
    """Turn what a disk refuses in this block into one line that names the file and the cure.

    Parameters
    ----------
    place : path-like
        Named if the error does not say where it happened.

    Raises
    ------
    DataError
        The disk is full, the place is read-only, or a folder and a file are in each other's place.
    """
    try:
        yield
    except EcgLibError:
        raise
    except Exception as error:  # a full disk has many types: OSError, RuntimeError, SafetensorError
        if said := refused(error, place) or _no_space_left(error, place):
            raise DataError(said) from error
        raise


def refused(error: BaseException, place: str | os.PathLike = "") -> str:
    """Return file and cure in one line if an error is a disk's refusal, else an empty text."""
    number: int | None = getattr(error, "errno", None)
    if number is None and (found := _WORDS.search(str(error))):
        number = int(found[1]) if found[1] else errno.ENOSPC
    if number is None or number not in _CAUSES:
        return ""
    named = getattr(error, "filename2", None) or getattr(error, "filename", None)
    hidden = any(part.startswith(".") and part != ".." for part in Path(str(named)).parts)
    return f"{place if hidden or not named else named}: {_CAUSES[number]}"


def _no_space_left(error: Exception, place: str | os.PathLike) -> str:
    """Say that a disk is full if it has no page left, whatever words a library found for it."""
    folder = next((p for p in (Path(place), *Path(place).absolute().parents) if p.is_dir()), None)
    if not isinstance(error, RuntimeError | OSError) or folder is None:
        return ""
    return f"{place}: {_FULL}" if shutil.disk_usage(folder).free < _PAGES else ""


def write_file(path: str | os.PathLike, content: str | bytes | Callable[[Path], object]) -> None:
    """Write a file as `write_atomically` does, and remove what killed runs left of the same file.

    Raises
    ------
    DataError
        As for `writing`.
    """
    path = Path(path)
    with writing(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))
        sweep(path.parent, glob.escape(path.stem), glob.escape(path.suffix))
        write_atomically(path, content)


def sweep(folder: Path, stem: str = "*", suffix: str = "") -> None:
    """Delete temporary files of `write_atomically` whose process was killed."""
    for left in folder.glob(f".{stem}-*{suffix}"):
        if left.is_file() and abandoned(left.stem):
            left.unlink(missing_ok=True)


def abandoned(name: str) -> bool:
    """Return whether a temporary name ends in the number of a process that is no more."""
    found = _LEFT.search(name)
    if not found or int(found[1]) == os.getpid():
        return False
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass  # another user's process, or no process number
    return False


@contextmanager
def alone(
    folder: str | os.PathLike, doing: str, say: Callable[[str], object] = lambda _: None
) -> Iterator[None]:
    """Hold a folder's lock; a second run of this user and machine says that it waits, and waits.

    The lock lies in the system's temporary folder and ends with its process, also if that is
    killed.

    Parameters
    ----------
    folder : path-like
    doing : str
        What a run does with the folder, such as "training".
    say : callable
        Called with one line if another run holds the folder.
    """
    folder = Path(folder)
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    # a user's own name: another user could not open the file
    lock = FileLock(Path(tempfile.gettempdir()) / f"ecg_lib-{os.getuid()}-{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"{folder.name}: another run is {doing} it; waiting for it to finish")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()

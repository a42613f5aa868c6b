"""Run work in a child process that can be killed, starved of disk or watched, and compare folders.

A moment is counted in events, not in seconds: the n-th time that the work opens a file for writing,
renames, deletes, makes a folder or finishes a step of an optimiser. Such a moment is the same on
every machine and lies where something can be lost. The child is forked, because importing torch
takes longer than all the work here.
"""

import contextlib
import errno
import faulthandler
import hashlib
import os
import re
import shutil
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from torch.optim.optimizer import register_optimizer_step_post_hook

from ecg_lib.errors import EcgLibError

LIMIT = 300  # seconds for one child
NOBODY = 65534
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_ERROR = re.compile(r"error: |[\w.]+(Error|Exception|Interrupt)\b")
_EVENT = "event: "
_NAMED = {"os.rename": 1, "os.remove": 0, "os.rmdir": 0, "os.mkdir": 0, "os.truncate": 0}


@dataclass
class Ended:
    """How a child ended: `status` 0 done, 2 an error of ours, 1 another error, -9 killed."""

    status: int
    said: str
    events: list[str] = field(default_factory=list)

    @property
    def last(self) -> str:
        """Its error, or the last line of its output."""
        lines = [line for line in self.said.replace("\r", "\n").splitlines() if line.strip()]
        errors = [line for line in lines if _ERROR.match(line)]
        return [*lines[-1:], *errors][-1] if lines else ""


@dataclass(frozen=True)
class Fault:
    """What happens at an event: the process group is killed, or the disk is full from then on.

    With `torn`, the file that was being written loses its second half before the kill: so the
    moment lies within the writing.
    """

    at: int | None = None
    torn: bool = False
    full: bool = False
    offline: bool = False
    user: int | None = None
    file_limit: int | None = None


class _Watch:
    """An audit hook that counts events below a root and brings about the fault."""

    def __init__(self, root: Path, fault: Fault):
        self.root, self.fault, self.events = str(root), fault, []
        self.renamed, self.before, self.busy = set(), time.time_ns(), False

    def __call__(self, event: str, args: tuple) -> None:
        if self.busy or (event != "open" and event not in _NAMED):
            return
        path = args[_NAMED.get(event, 0)]
        if event == "open" and (not isinstance(args[2], int) or not args[2] & _WRITES):
            return
        if isinstance(path, int):
            return
        name = os.fsdecode(path)
        if name.startswith(self.root) or not os.path.isabs(name):
            self.happened(event.removeprefix("os."), name)
            if event == "os.rename":
                self.renamed.add(name)

    def step(self, *_: object) -> None:
        self.happened("step")

    def happened(self, event: str, name: str = "") -> None:
        self.busy = True
        self.events.append(f"{event} {name.removeprefix(self.root + '/')}".strip())
        if len(self.events) - 1 == self.fault.at and not self.fault.full:
            if self.fault.torn:
                self.tear()
            os.killpg(0, signal.SIGKILL)
        full = self.fault.full and len(self.events) > self.fault.at and event == "open"
        self.before, self.busy = time.time_ns(), False
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)

    def tear(self) -> None:
        """Cut the newest file in half, if it was written since the last event."""
        files = [p for p in Path(self.root).rglob("*") if p.is_file() and not p.is_symlink()]
        newest = max(files, key=lambda p: p.stat().st_mtime_ns, default=None)
        if newest is None or str(newest) in self.renamed:
            return
        if newest.stat().st_mtime_ns >= self.before - 20_000_000:  # the clock of files is coarse
            os.truncate(newest, newest.stat().st_size // 2)


Started = tuple[int, Path, int]


def start(work: Callable[[Path], object], root: Path, fault: Fault = Fault()) -> Started:
    """Start work in a forked child; return its number, its output's file and a pipe from it."""
    log = root.parent / f"{root.name}-{time.time_ns()}.log"
    sys.stdout.flush(), sys.stderr.flush()
    ear, told = os.pipe()
    child = os.fork()
    if not child:
        _run(work, root, fault, log, told)
    os.close(told)
    with contextlib.suppress(OSError):
        os.setpgid(child, child)  # both sides do it, so that it is done whoever is first
    return child, log, ear


def _run(work: Callable[[Path], object], root: Path, fault: Fault, log: Path, told: int) -> None:
    status = 1
    try:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        out = os.open(os.devnull if fault.file_limit else log, os.O_WRONLY | os.O_CREAT, 0o666)
        os.dup2(out, 1), os.dup2(out, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")  # not what pytest captures
        faulthandler.dump_traceback_later(LIMIT - 10, file=2)
        watch = _Watch(root, fault)
        _prepare(fault)
        register_optimizer_step_post_hook(watch.step)
        sys.addaudithook(watch)
        try:
            work(root)
            status = 0
        except EcgLibError as error:
            status = 2
            os.write(told, f"\nerror: {error}\n".encode())
        except BaseException:
            os.write(told, traceback.format_exc().encode())
        watch.busy = True
        os.write(told, "".join(f"{_EVENT}{event}\n" for event in watch.events).encode())
    except BaseException:
        os.write(told, traceback.format_exc().encode())
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush(), sys.stderr.flush()
        os._exit(status)


def _prepare(fault: Fault) -> None:
    if fault.offline:

        def refuse(*_, **__):
            raise AssertionError("the network was asked for")

        socket.socket.connect = refuse
        socket.create_connection = socket.getaddrinfo = refuse
    if fault.file_limit is not None:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault.file_limit, fault.file_limit))
    if fault.user is not None:
        os.setgroups([])
        os.setgid(fault.user)
        os.setuid(fault.user)


def end(started: Started) -> Ended:
    """Wait for a child; after LIMIT seconds it is killed and counts as hanging."""
    child, log, ear = started
    until = time.monotonic() + LIMIT
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            break
        if time.monotonic() > until:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            status = None
            break
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)  # its worker processes
    said = log.read_text(errors="replace") if log.exists() else ""
    with os.fdopen(ear, errors="replace") as pipe:
        lines = pipe.read().splitlines()  # the child has ended, and the pipe holds what fits
    events = [line.removeprefix(_EVENT) for line in lines if line.startswith(_EVENT)]
    said += "\n".join(line for line in lines if not line.startswith(_EVENT))
    log.unlink(missing_ok=True)
    if status is None:
        return Ended(124, f"{said}\nhanging after {LIMIT} s", events)
    return Ended(os.waitstatus_to_exitcode(status), said, events)


def run(work: Callable[[Path], object], root: Path, fault: Fault = Fault()) -> Ended:
    """Run work in a child to its end."""
    return end(start(work, root, fault))


def tree(root: Path) -> dict[str, str]:
    """Return a hash of every file below a folder, by its relative path; folders end in /."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            continue
        if path.is_dir():
            found[f"{name}/"] = ""
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def differences(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    """Name the files of one tree that are missing, altered or left over in the other."""
    lost = [f"missing: {name}" for name in wanted if name not in found]
    lost += [f"altered: {n}" for n in wanted if n in found and wanted[n] != found[n]]
    return lost + [f"left over: {name}" for name in found if name not in wanted]


def restore(snapshot: Path, root: Path) -> None:
    """Make a root what a snapshot holds; the root itself stays, as it may be a mount."""
    root.mkdir(parents=True, exist_ok=True)
    for inner in root.iterdir():
        shutil.rmtree(inner) if inner.is_dir() and not inner.is_symlink() else inner.unlink()
    shutil.copytree(snapshot, root, symlinks=True, dirs_exist_ok=True)

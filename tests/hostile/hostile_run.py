"""Runs one input and says how it ended: read, left out, or refused in one line.

While a call runs, it may take five seconds of the processor, two minutes by the clock (a machine
may be busy) and one gigabyte more than the process holds already, and it may open no file of a
forbidden folder. Anything else than the three ends fails the test.
"""

import importlib
import io
import pkgutil
import resource
import signal
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

import ecg_lib
from ecg_lib.__main__ import main
from ecg_lib.errors import EcgLibError

SECONDS, WAIT, BYTES = 5, 120, 2**30
_ROOMS = ("cli", "data", "questions", "blind_test", "evaluation", "planning", "ecg_llm", "config")
_WATCHED: dict[str, list] = {}  # forbidden folder -> files opened in it; the hook stays for good


class TookTooLong(BaseException):
    """The call did not end in time; no `except Exception` catches it."""


@dataclass
class Ended:
    """How a call ended: "read", "left out" (some records quarantined) or "refused"."""

    how: str
    said: str = ""  # the line of the error, or the reasons of the quarantine
    value: object = None
    out: str = ""  # what was printed
    opened: list = field(default_factory=list)  # files of the forbidden folder


def imported():
    """Import the whole library with what it uses, for importing does not count."""
    import hydra  # noqa: F401
    from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer  # noqa: F401

    for module in pkgutil.walk_packages(ecg_lib.__path__, "ecg_lib."):
        if module.name.startswith(tuple(f"ecg_lib.{room}" for room in _ROOMS)):
            importlib.import_module(module.name)


def _notice(event, arguments):
    if event == "open" and _WATCHED and isinstance(arguments[0], (str, bytes)):
        path = arguments[0] if isinstance(arguments[0], str) else arguments[0].decode()
        for folder, opened in list(_WATCHED.items()):
            if Path(path).resolve().is_relative_to(folder):
                opened.append(path)


sys.addaudithook(_notice)


@contextmanager
def bounded(seconds=SECONDS, wait=WAIT, size=BYTES):
    """Stop a call after some seconds, and refuse it more memory."""

    def late(kind, _):
        told = f"{seconds} s of the processor" if kind == signal.SIGPROF else f"{wait} s"
        raise TookTooLong(f"still running after {told}")

    before = resource.getrlimit(resource.RLIMIT_AS)
    held = 1024 * int(
        next(
            line.split()[1]
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("VmSize")
        )
    )
    handlers = {kind: signal.signal(kind, late) for kind in (signal.SIGALRM, signal.SIGPROF)}
    resource.setrlimit(resource.RLIMIT_AS, (held + size, before[1]))
    signal.setitimer(signal.ITIMER_REAL, wait)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    late_call = None
    try:
        yield
    except TookTooLong as error:
        late_call = str(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        for kind, handler in handlers.items():
            signal.signal(kind, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert not late_call, late_call


def called(function, *arguments, forbidden=None, **named) -> Ended:
    """Call a function of the library; one of our errors in one line counts as refused."""
    out, err, opened = io.StringIO(), io.StringIO(), []
    if forbidden is not None:
        _WATCHED[str(Path(forbidden).resolve())] = opened
    try:
        with bounded(), redirect_stdout(out), redirect_stderr(err):
            value = function(*arguments, **named)
        return Ended("read", "", value, out.getvalue(), opened)
    except EcgLibError as error:
        return Ended("refused", one_line(str(error)), None, out.getvalue(), opened)
    except SystemExit as error:
        assert error.code in (1, 2), error.code
        said = err.getvalue() or str(error.code)
        return Ended("refused", one_line(said.removeprefix("error: ")), None, "", opened)
    finally:
        _WATCHED.clear()


def command(*arguments, forbidden=None) -> Ended:
    """Run a command of debiased-ecg in this process."""
    out, err = io.StringIO(), io.StringIO()
    opened: list = []
    if forbidden is not None:
        _WATCHED[str(Path(forbidden).resolve())] = opened
    try:
        with bounded(), redirect_stdout(out), redirect_stderr(err):
            code = main([str(argument) for argument in arguments])
    except SystemExit as error:  # argparse ends so
        code = error.code
    finally:
        _WATCHED.clear()
    said = err.getvalue()
    if code == 0:
        return Ended("read", "", None, out.getvalue() + said, opened)
    assert code == 2, f"exit code {code}: {said}"
    lines = [line for line in said.replace("\r", "\n").splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, f"not one line of ours: {said!r}"
    assert said.endswith(lines[0] + "\n"), f"more than one line: {said!r}"
    return Ended(
        "refused", one_line(lines[0].removeprefix("error: ")), None, out.getvalue(), opened
    )


def prepared(cohort, source, out, *more, forbidden=None) -> Ended:
    """Prepare a cohort; the reasons of records that were left out are `said`."""
    ended = command("prepare", cohort, "--source", source, "--out", out, *more, forbidden=forbidden)
    if ended.how == "read":
        left = pd.read_csv(Path(out) / "quarantine.csv", dtype=str, keep_default_na=False)
        if len(left):
            ended.how, ended.said = "left out", "; ".join(left["record"] + ": " + left["reason"])
    return ended


def one_line(text: str) -> str:
    """Return a message after checking that it is one line without control characters."""
    text = text.removesuffix("\n")
    assert text.strip(), "an empty message"
    assert all(ch.isprintable() for ch in text), f"control characters in {text!r}"
    assert "Traceback" not in text
    return text


imported()

"""Run Python in a process of its own, with one thread and the folders that tests import from."""

from __future__ import annotations

import os
import subprocess
import sys

from ecg_lib.paths import ROOT


def environment(*first: str) -> dict[str, str]:
    """Return this process's environment; modules are looked for in `first`, or in the checkout."""
    folders = first or (str(ROOT), str(ROOT / "tests"))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "OMP_NUM_THREADS": "1"}


def python(*arguments: str) -> str:
    """Run Python to its end; return what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return done.stdout

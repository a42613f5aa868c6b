"""The code of an earlier commit, run in a child process: Trainer, one question per row."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

from benchmarks.children import environment
from ecg_lib.paths import ROOT

COMMIT = "67f7e1f"  # trains on one question per row, with cached tokens
CHILD = Path(__file__).with_name("old_child.py")


class Missing(Exception):
    """What cannot be measured here, and why."""


def unpack(folder: Path, commit: str = COMMIT, repository: Path = ROOT) -> Path:
    """Write the files of a commit into a folder.

    Raises
    ------
    Missing
        The folder of the project is no git repository, or lacks the commit (a shallow clone), or
        there is no git.
    """
    command = ["git", "-C", str(repository), "archive", "--format=tar", commit]
    try:
        made = subprocess.run(command, capture_output=True, check=True)
    except OSError as error:
        raise Missing(f"git cannot be run ({error})") from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["git failed"]
        raise Missing(f"commit {commit} is not in this repository ({reason[0]})") from error
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
        archive.extractall(folder, filter="data")
    # Without this file, a package of the same name that is installed would come before it.
    (folder / "ecg_lib" / "__init__.py").touch()
    return folder


class OldTraining:
    """A child process that trains with the code of the old commit whenever it is asked to.

    Parameters
    ----------
    code : Path
        The folder with the old code.
    job : dict
        What `old_child.py` reads: folders of the language model and tokens, ids, rows, settings.
    """

    def __init__(self, code: Path, job: dict):
        path = code.parent / "job.json"
        path.write_text(json.dumps(job))
        self.child = subprocess.Popen(
            [sys.executable, str(CHILD), str(path)],
            cwd=code,
            env=environment(str(code)),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=open(code.parent / "old.log", "w"),
        )
        self.log = code.parent / "old.log"

    def seconds(self) -> float:
        """Train once; return the child's CPU seconds.

        Raises
        ------
        Missing
            The old code fails with the packages of today.
        """
        assert self.child.stdin and self.child.stdout
        try:
            print("train", file=self.child.stdin, flush=True)
            answer = self.child.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            last = self.log.read_text(errors="replace").strip().splitlines()[-1:] or ["no message"]
            raise Missing(f"the code of {COMMIT} does not run with today's packages ({last[0]})")
        return float(answer)

    def close(self) -> None:
        """End the child."""
        assert self.child.stdin and self.child.stdout
        self.child.stdin.close()
        self.child.wait()
        self.child.stdout.close()

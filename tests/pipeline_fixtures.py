"""A clone of the checkout in a temporary folder, where the smoke profile runs the pipeline."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from ecg_lib.cli.pipeline import CODE, pipeline_files
from ecg_lib.stages import all_stages

REPO = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Clone:
    """A separate checkout with git history that no other test writes to."""

    folder: Path

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run a command at the root of the clone, with this interpreter's folder first on PATH."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True
        )
        if check and done.returncode:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-40:])
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{tail}")
        return done

    def environment(self) -> dict[str, str]:
        """Return an environment where `python` is this interpreter and `ecg_lib` the clone's."""
        here = str(Path(sys.executable).parent)
        return {
            **os.environ,
            "PATH": os.pathsep.join([here, os.environ["PATH"]]),
            "PYTHONPATH": str(self.folder),
            "OMP_NUM_THREADS": "1",
        }

    def stages(self) -> dict[str, dict]:
        """Return the stages of the profile in params.yaml, as the pipeline files declare them."""
        params = yaml.safe_load((self.folder / "params.yaml").read_text())
        found = {}
        for file in pipeline_files().values():
            found |= yaml.safe_load((self.folder / file).read_text())["stages"]
        return {
            name: stage
            for name, stage in found.items()
            if name != CODE and params["stages"].get(all_stages()[name].key, True)
        }

    def outs(self, under: str = "") -> list[Path]:
        """Return the outputs of the profile in params.yaml, as paths in the clone."""
        profile = yaml.safe_load((self.folder / "params.yaml").read_text())["profile"]
        outs = [out for s in self.stages().values() for out in [*s["outs"], *s.get("metrics", [])]]
        names = [out if isinstance(out, str) else next(iter(out)) for out in outs]
        names = [name.replace("${profile}", profile) for name in names]
        return [self.folder / name for name in names if name.startswith(under)]


def make_clone(folder: Path) -> Clone:
    """Copy all files that git does not ignore, except `dvc.lock`, and commit them."""
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    listed = subprocess.run(
        [*git, "ls-files", "-co", "--exclude-standard"], cwd=REPO, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout: nothing to clone")
    for name in listed.stdout.splitlines():
        if (REPO / name).is_file() and Path(name).name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPO / name, folder / name)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "--no-verify", "-m", "clone"]):
        subprocess.run([*git, *command], cwd=folder, check=True)
    return Clone(folder)


@pytest.fixture(scope="session")
def smoke_clone(tmp_path_factory) -> Clone:
    """A clone in which `make paper` has run every notebook once in the smoke profile.

    Tests that use it are marked `xdist_group("pipeline")`, so that one worker runs it for all.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    claim = tmp_path_factory.getbasetemp().parent / "smoke_clone" if worker else None
    if claim and claim.exists() and claim.read_text() != worker:
        pytest.fail("a second worker needs the clone; run `make test` (--dist loadgroup)")
    if claim:
        claim.write_text(worker)
    clone = make_clone(tmp_path_factory.mktemp("smoke"))
    (clone.folder / ".venv").symlink_to(sys.prefix)
    clone.run("make", "-o", ".venv/.installed", "paper", "PROFILE=smoke")
    return clone

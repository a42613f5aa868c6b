"""The wheel: what `pip install .` brings works in a folder of its own, without the checkout."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from pipeline_fixtures import REPO, make_clone

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that a wheel built from a clean copy of the checkout is unpacked to."""
    clone = make_clone(tmp_path_factory.mktemp("source"))
    made = tmp_path_factory.mktemp("wheel")
    build = "from hatchling.build import build_wheel; build_wheel(__import__('sys').argv[1])"
    clone.run(sys.executable, "-c", build, str(made))
    (wheel,) = made.glob("*.whl")
    folder = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def python(installed, cwd, *arguments):
    """Run Python with the unpacked wheel first on its path, in another folder."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert not done.returncode, done.stderr
    return done.stdout


def test_it_holds_the_profiles_the_published_numbers_and_the_type_marker(installed):
    inside = {str(p.relative_to(installed)) for p in installed.rglob("*") if p.is_file()}
    for name in ("conf/config.yaml", "conf/profile/paper.yaml", "published/table1_bias.csv"):
        assert f"ecg_lib/{name}" in inside
    assert "ecg_lib/py.typed" in inside
    own = (p for p in (REPO / "ecg_lib").rglob("*") if p.is_file() and p.suffix != ".pyc")
    assert {str(p.relative_to(REPO)) for p in own} <= inside
    assert not any(name.startswith(("tests", "notebooks", "conf", "results")) for name in inside)


def test_a_profile_is_composed_and_its_cost_counted_elsewhere(installed, tmp_path):
    told = python(installed, tmp_path, "-m", "ecg_lib", "plan", "demo", "--json")
    told = json.loads(told)
    assert told["profile"] == "demo"
    assert not list(tmp_path.iterdir())


def test_it_reads_and_writes_where_it_is_called(installed, tmp_path):
    say = "from ecg_lib import paths, __file__; print(__file__); print(paths.ROOT)"
    where, root = python(installed, tmp_path, "-c", say).splitlines()
    assert Path(where).is_relative_to(installed)
    assert Path(root) == tmp_path
    published = (
        "from ecg_lib.report.reference import paper_table; print(len(paper_table('table5')))"
    )
    assert int(python(installed, tmp_path, "-c", published)) > 10

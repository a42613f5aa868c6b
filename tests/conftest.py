"""Fixtures shared by the tests."""

import subprocess
from pathlib import Path

import pytest
from pipeline_fixtures import smoke_clone  # noqa: F401  (a fixture)
from study_checkout import small  # noqa: F401  (a fixture)

REPO = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real ECGs beside the checkout; tests skip where it is absent."""
    folder = REPO.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real ECGs beside the checkout ({folder.name}/ is absent)")
    return folder


@pytest.fixture(scope="session")
def committed_results() -> Path:
    """Folder of results; tests skip where a run of one's own has changed them or their pages."""
    changed = subprocess.run(
        ["git", "-C", REPO, "status", "--porcelain", "results", "README.md", "docs/results.md"],
        capture_output=True,
        text=True,
    )
    if changed.returncode or changed.stdout:
        pytest.skip("results or their pages are not the committed ones; `make readme` joins them")
    return REPO / "results"

"""Fixtures shared by the tests."""

import subprocess
from pathlib import Path

import pytest
from pipeline_fixtures import smoke_clone  # noqa: F401  (a fixture)
from study_checkout import small  # noqa: F401  (a fixture)

REPO = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real ECGs next to the checkout; tests that need it are skipped without it."""
    folder = REPO.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real ECGs beside the checkout ({folder.name}/ is absent)")
    return folder


@pytest.fixture(scope="session")
def committed_results() -> Path:
    """Folder of committed results; tests that need it are skipped if a local run changed them."""
    changed = subprocess.run(
        ["git", "-C", REPO, "status", "--porcelain", "results", "README.md", "docs/results.md"],
        capture_output=True,
        text=True,
    )
    if changed.returncode or changed.stdout:
        pytest.skip("results or their pages are not the committed ones; `make readme` joins them")
    return REPO / "results"

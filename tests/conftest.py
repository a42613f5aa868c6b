"""Fixtures shared by the tests."""

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

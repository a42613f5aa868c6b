"""Every folder of the project, named in one place.

In a checkout they lie beside the library. An installed package carries the profiles and the
published numbers inside itself and reads and writes everything else in the current folder.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_IN_CHECKOUT = (_PACKAGE.parent / "conf" / "config.yaml").is_file()

ROOT = _PACKAGE.parent if _IN_CHECKOUT else Path.cwd()
CONF = (ROOT if _IN_CHECKOUT else _PACKAGE) / "conf"  # profiles, composed by Hydra
PARAMS = ROOT / "params.yaml"  # the composed profile that the pipeline runs
NOTEBOOKS = ROOT / "notebooks"
PAPER_RESULTS = ROOT / "results" / "published" if _IN_CHECKOUT else _PACKAGE / "published"


def data_dir(profile: str) -> Path:
    """Return the folder of a profile's prepared cohorts and question sets (a DVC output)."""
    return ROOT / "data" / profile


def checkpoints_dir(profile: str) -> Path:
    """Return the folder of a profile's trained models and cached features (a DVC output)."""
    return ROOT / "checkpoints" / profile


def results_dir(profile: str) -> Path:
    """Return the folder of a profile's tables: CSV and Markdown."""
    return ROOT / "results" / profile


def figures_dir(profile: str) -> Path:
    """Return the folder of a profile's figures: PNG."""
    return ROOT / "figures" / profile

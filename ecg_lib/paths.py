"""Every folder of the project, once."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # the checkout
CONF = ROOT / "conf"  # profiles, composed by Hydra
PARAMS = ROOT / "params.yaml"  # the composed profile that the pipeline runs
NOTEBOOKS = ROOT / "notebooks"
PAPER_RESULTS = ROOT / "results" / "published"  # the published numbers


def data_dir(profile: str) -> Path:
    """Prepared cohorts and question sets of a profile (a DVC output)."""
    return ROOT / "data" / profile


def checkpoints_dir(profile: str) -> Path:
    """Trained models and cached features of a profile (a DVC output)."""
    return ROOT / "checkpoints" / profile


def results_dir(profile: str) -> Path:
    """Tables of a profile: CSV and Markdown."""
    return ROOT / "results" / profile


def figures_dir(profile: str) -> Path:
    """Figures of a profile, PNG."""
    return ROOT / "figures" / profile

"""Tests that the folders made by the download commands of docs/data.md are recognised."""

import re
from pathlib import Path

import pytest

from ecg_lib.data.prepare import find_cohort, signatures

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
SETS = ["ptbxl", "ludb", "cpsc", "shaoxing", "ecgqa", "mimic_iv_ecg"]


def downloads() -> dict[str, str]:
    """Map each data set to the folder that wget (-nH --cut-dirs=1) or git makes for it."""
    block = next(b for b in PAGE.split("```") if "wget" in b)
    named = re.search(r"for set in (.+); do", block).group(1).split()
    assert "--cut-dirs=1" in block and "https://physionet.org/files/$set/" in block
    folders = [*named, *re.findall(r"https://physionet\.org/files/([\w./-]+)/", block)]
    cloned = re.search(r"git clone \S+/([\w-]+)", block).group(1)
    by_name = {folder.split("/")[0]: folder for folder in folders}
    challenge = by_name["challenge-2021"].removesuffix("/training")
    return {
        "ptbxl": by_name["ptb-xl"],
        "ludb": by_name["ludb"],
        "cpsc": challenge,
        "shaoxing": challenge,
        "ecgqa": f"{cloned}/ecgqa",
        "mimic_iv_ecg": by_name["mimic-iv-ecg"],
    }


@pytest.mark.parametrize("name", SETS)
def test_what_the_page_downloads_is_found_below_one_folder(name, tmp_path):
    for other, folder in downloads().items():
        file = tmp_path / folder / signatures()[other]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert find_cohort(tmp_path, name) == tmp_path / downloads()[name]

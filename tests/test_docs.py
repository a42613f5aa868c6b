"""Test that links in README and docs resolve and that the numbers they quote match the tables."""

import re
from pathlib import Path

import pytest

README = "README.md"
REPO = Path(__file__).resolve().parent.parent
PAGES = [REPO / README, REPO / "CONTRIBUTING.md", *sorted((REPO / "docs").glob("*.md"))]
LINK = re.compile(r"\[([^\]]+)\]\(([^)#\s]+)[^)]*\)")
INTERVAL = re.compile(r"-?\d+\.\d+ \(-?\d+\.\d+(?:-| to )-?\d+\.\d+\)")


def links(text):
    return [(said, to) for said, to in LINK.findall(text) if not to.startswith("http")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_linked_exists_and_a_test_that_is_named_is_there(page):
    for said, to in links(page.read_text("utf-8")):
        file = page.parent / to
        assert file.exists(), f"{page.name}: {to} does not exist"
        name = said.strip("`")
        if name.startswith("test_") and not name.endswith(".py"):
            assert f"def {name}(" in file.read_text("utf-8"), f"{page.name}: no {name} in {to}"


def test_intervals_that_the_objections_quote_stand_in_the_tables_they_link(committed_results):
    page = REPO / "docs" / "reviewer.md"
    quoted = 0
    for paragraph in page.read_text("utf-8").split("\n\n"):
        files = [page.parent / to for _, to in links(paragraph) if to.endswith(".md")]
        tables = " ".join(file.read_text("utf-8") for file in files)
        for number in INTERVAL.findall(paragraph):
            quoted += 1
            assert number in tables, f"{page.name}: {number} is in no table of its paragraph"
    assert quoted >= 5


def test_decimals_that_the_results_page_quotes_stand_in_the_tables_it_links(committed_results):
    page = REPO / "docs" / "results.md"
    generated = re.compile(r"<!-- results:(\w+) -->.*?<!-- /results:\1 -->", re.S)
    prose = generated.sub("", page.read_text("utf-8"))
    quoted = 0
    for paragraph in prose.split("\n\n"):
        files = [to for _, to in links(paragraph) if to.startswith("../results/")]
        tables = " ".join((page.parent / to).read_text("utf-8") for to in files)
        flat = re.sub(r"\s+", " ", re.sub(r"\]\([^)]*\)", "]", paragraph)) if files else ""
        for number in [*INTERVAL.findall(flat), *re.findall(r"(?<![\w.])-?\d+\.\d+", flat)]:
            quoted += 1
            assert number in tables, f"results.md: {number} is in no table of its paragraph"
    assert quoted >= 20


def test_the_readme_is_one_screen_with_its_picture_first():
    lines = (REPO / README).read_text("utf-8").splitlines()
    assert len(lines) <= 130
    (picture,) = re.findall(r'<img src="(\S+)"', "\n".join(lines[:12]))
    assert (REPO / picture).is_file()

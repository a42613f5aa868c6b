"""Test reading infarction, pacing and normality from reports, as carts and physicians word them.

`report_wordings.csv` holds wordings in the style of three carts (Marquette 12SL, Philips, and
Glasgow with Mortara) and of PTB-XL's German and English reports. `labels` are those that a
cardiologist would give: codes of findings.csv, with a question mark if the report doubts them
("possible", "probable", "consider", "cannot rule out"). What is denied, gone or replaced is not
given, doubt about an infarct's age is no doubt about the infarct, and NORM is given only to an ECG
that is called normal as a whole. A finding without a code, such as an infarct whose wall is not
named, is not labelled.

The list was written before the rules that it tests. `half` was drawn by
`random.Random(20240817).shuffle`; the rules were made with half A in view only.
"""

import csv
from pathlib import Path

import pytest

from ecg_lib.data.sources.mimic_iv_ecg import read_findings

WORDINGS = Path(__file__).with_name("report_wordings.csv")


def wordings(half):
    """Return (statement, true labels) of one half, labels as code -> whether they are certain."""
    with open(WORDINGS, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["half"] == half]
    return [
        (row["statement"], {c.rstrip("?"): not c.endswith("?") for c in row["labels"].split()})
        for row in rows
    ]


def read(statement):
    """Return the labels read from a statement, as code -> whether they are certain."""
    return {code: p == 100 for code, p in read_findings([statement]).labels.items()}


def scores(half):
    """Return precision and recall of codes, and the share of statements read without a mistake."""
    pairs = [(read(statement), true) for statement, true in wordings(half)]
    both = sum(len(found.keys() & true.keys()) for found, true in pairs)
    given, wanted = (sum(map(len, side)) for side in zip(*pairs, strict=True))
    return both / given, both / wanted, sum(a == b for a, b in pairs) / len(pairs)


def test_the_list_is_long_and_its_halves_are_equal():
    sizes = [len(wordings(half)) for half in "AB"]
    assert sum(sizes) >= 300 and abs(sizes[0] - sizes[1]) <= 1


@pytest.mark.parametrize("half", "AB")
def test_report_wordings_are_read(half):
    precision, recall, exact = scores(half)
    print(f"half {half}: precision {precision:.3f}, recall {recall:.3f}, exact {exact:.3f}")

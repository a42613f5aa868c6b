"""Tests that are no longer collected fail nobody: this one counts them.

`collected_minimum.txt` holds the least number of tests that a run of everything must collect.
Raise it to the number that this test names whenever tests were added.
"""

from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
MINIMUM = HERE / "collected_minimum.txt"


def test_no_tests_got_lost(request):
    config = request.config
    chosen = {(config.rootpath / argument).resolve() for argument in config.args}
    narrowed = config.option.keyword or config.option.markexpr or config.option.deselect
    if narrowed or chosen - {HERE, config.rootpath}:
        pytest.skip("only a part of the tests was selected")
    collected, minimum = len(request.session.items), int(MINIMUM.read_text())
    assert collected >= minimum, (
        f"{collected} tests collected, {minimum} expected: a file of tests is no longer found, or "
        f"tests were removed; if on purpose, write {collected} into tests/{MINIMUM.name}"
    )

"""Test that no file hard-codes a factor or length that the encoder or projector defines."""

import ast
import re

import pytest

from ecg_lib.closure import PACKAGE

ROOMS = ("encoders", "ecg_llm", "planning")  # must not assume the length of an ECG


def factors(source):
    """Return expressions that join or split tokens with a hard-coded 4."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.BinOp)
        and any(isinstance(n, ast.Constant) and n.value == 4 for n in (node.left, node.right))
        and re.search("token|slot|patch", ast.unparse(node))
    ]


def lengths(source):
    """Return numbers that assume an ECG of 10 s at 100 Hz."""
    numbers = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return [node.value for node in numbers if node.value == 1000]


@pytest.mark.parametrize(
    "source",
    [
        "slots = encoder.config.tokens // 4",
        "z = zeros(1, 4 * slots)",
        "slots = round(1000 / config.encoder.patch / 4 * 1.4)",
        "wrong = n_tokens % 4",
    ],
)
def test_a_repeated_factor_is_seen(source):
    assert factors(source) and (lengths(source) == [1000]) == ("1000" in source)


def test_only_the_projector_knows_how_many_tokens_it_joins():
    files = [file for file in PACKAGE.rglob("*.py") if file.name != "projector.py"]
    assert len(files) > 50
    assert {f.name: found for f in files if (found := factors(f.read_text()))} == {}


def test_no_room_about_encoders_takes_a_length_for_granted():
    files = [file for room in ROOMS for file in (PACKAGE / room).rglob("*.py")]
    files.append(PACKAGE / "config_check.py")
    assert {f.name: found for f in files if (found := lengths(f.read_text()))} == {}
